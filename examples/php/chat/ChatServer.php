<?php
// Users on top of the engine's connections: turns its events into calls of process($user, $msg, $server)
// and left($user, $server), and keeps the console. Knows nothing of what the messages mean.

declare(strict_types=1);

use WsEngine\Event;

final class ChatServer
{
    /** Where a browser finds the page. */
    public readonly string $url;

    /** @var array<int, User> by connection */
    private array $users = [];
    private int $lastId = 0;

    /**
     * @param string $address "0" stands for all addresses, as it always did in this kind of script
     * @param Closure(User, string, ChatServer): void $process
     * @param Closure(User, ChatServer): void $left
     */
    public function __construct(
        string $address,
        int $port,
        string $pages,
        private readonly Closure $process,
        private readonly Closure $left,
    ) {
        $address = $address === '0' ? '0.0.0.0' : $address;
        $host = str_contains($address, ':') ? "[$address]" : $address;
        $started = ws_server_start([
            'listen' => "$host:$port",
            'static_root' => $pages,
            'max_message_bytes' => 16 * 1024,
        ]);
        // A browser cannot open the address that stands for all.
        $host = ['0.0.0.0' => '127.0.0.1', '[::]' => '[::1]'][$host] ?? $host;
        $this->url = "http://$host:$started->port/";
    }

    /** @return list<User> */
    public function getUsers(): array
    {
        return array_values($this->users);
    }

    public function send(User $user, string $msg): bool
    {
        return ws_send($user->conn, $msg);
    }

    /** @param array<User> $except */
    public function sendAll(string $msg, array $except = []): int
    {
        return ws_broadcast($msg, except: array_column($except, 'conn'));
    }

    /** Returns when the server was stopped by a signal. */
    public function run(): void
    {
        $this->stopOnSignals();
        while (true) {
            foreach (ws_poll_events() as $event) {
                if ($event->type === Event::STOPPED) {
                    return;
                }
                $this->handle($event);
            }
        }
    }

    public function log(string $line): void
    {
        // Names and reasons come from strangers: nothing in them may steer a terminal.
        echo date('H:i:s '), preg_replace('/\p{Cc}/u', '?', $line), "\n";
    }

    /** What goes wrong with one message ends neither the server nor the connection. */
    private function handle(Event $event): void
    {
        try {
            match ($event->type) {
                Event::OPEN => $this->opened($event),
                Event::MESSAGE => $this->received($event),
                Event::CLOSE => $this->closed($event),
                Event::ERROR => $this->log("error  $event->data"),
                default => null,
            };
        } catch (Throwable $e) {
            $this->log(sprintf('error  %s: %s (%s:%d)', $e::class, $e->getMessage(), basename($e->getFile()), $e->getLine()));
        }
    }

    private function opened(Event $event): void
    {
        $user = $this->users[$event->conn] = new User(++$this->lastId, $event->conn, $event->request->peer);
        $this->log("open   #$user->id from $user->peer, " . count($this->users) . ' connected');
    }

    private function received(Event $event): void
    {
        $user = $this->users[$event->conn];
        ($this->process)($user, $event->data, $this);
    }

    private function closed(Event $event): void
    {
        $user = $this->users[$event->conn];
        unset($this->users[$event->conn]);
        $this->log(sprintf(
            'close  #%d from %s: %d%s%s after %d s, %d connected',
            $user->id,
            $user->peer,
            $event->code,
            $event->data ? " \"$event->data\"" : '',
            $event->clean ? '' : ', not clean,',
            microtime(true) - $user->since,
            count($this->users),
        ));
        ($this->left)($user, $this);
    }

    /** So that the rest of the script runs. Without pcntl a signal ends PHP at once; clients are told either way. */
    private function stopOnSignals(): void
    {
        if (!function_exists('pcntl_async_signals')) {
            return;
        }
        pcntl_async_signals(true);
        foreach ([SIGINT, SIGTERM] as $signal) {
            pcntl_signal($signal, fn () => ws_server_stop(0.5));
        }
    }
}
