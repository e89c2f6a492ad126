<?php
// Users on top of the engine's connections: turns its events into calls of process($user, $msg, $server), puts users
// into the room, and keeps the console. Knows nothing of what the messages mean.
//
// The room is two topics of the engine. What is said on TALK it keeps, so that a page that comes back gets what it has missed.
// Whoever is on PEOPLE with a label is shown to all there. Both reach all nodes where there are several (REDIS in the environment).

declare(strict_types=1);

use WsEngine\Event;

final class ChatServer
{
    private const TALK = 'talk';
    private const PEOPLE = 'people';

    /** Where a browser finds the page. */
    public readonly string $url;

    /** @var array<int, User> by connection */
    private array $users = [];
    private int $lastNumber = 0;

    /**
     * @param string $address "0" stands for all addresses, as it always did in this kind of script
     * @param Closure(User, string, ChatServer): void $process
     */
    public function __construct(
        string $address,
        int $port,
        string $pages,
        private readonly Closure $process,
    ) {
        $address = $address === '0' ? '0.0.0.0' : $address;
        $host = str_contains($address, ':') ? "[$address]" : $address;
        $started = ws_server_start([
            'listen' => "$host:$port",
            'static_root' => $pages,
            'max_message_bytes' => 16 * 1024,
            'app' => 'chat',
            // The last 50 messages of a day.
            'history' => self::TALK . '=50/86400',
            'presence' => self::PEOPLE,
            // The address may hold a password, so it is not an argument, which all users of the machine see.
            'backplane' => getenv('REDIS') ?: 'none',
            'trusted_proxies' => getenv('TRUSTED_PROXIES') ?: 'none',
        ]);
        // A browser cannot open the address that stands for all.
        $host = ['0.0.0.0' => '127.0.0.1', '[::]' => '[::1]'][$host] ?? $host;
        $this->url = "http://$host:$started->port/";
        $this->stopOnSignals();
    }

    /** @return list<string> the labels of all who are in the room, on any node */
    public function getPeople(): array
    {
        return array_values(ws_presence(self::PEOPLE));
    }

    /**
     * From now on the user hears what is said, and all see the label.
     *
     * @param string $since what the page has heard last; it may be nonsense
     */
    public function letIn(User $user, string $label, string $since): void
    {
        ws_subscribe($user->conn, self::TALK, since: $since);
        ws_subscribe($user->conn, self::PEOPLE, label: $label);
    }

    public function send(User $user, string $msg): bool
    {
        return ws_send($user->conn, $msg);
    }

    /** To all in the room. */
    public function sendAll(string $msg): int
    {
        return ws_publish(self::TALK, $msg);
    }

    /** Returns when the server was stopped by a signal. */
    public function run(): void
    {
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
                Event::BACKPLANE => $this->log($event->code === 1 ? 'redis  joined' : "redis  alone, for $event->data"),
                default => null,
            };
        } catch (Throwable $e) {
            $this->log(sprintf('error  %s: %s (%s:%d)', $e::class, $e->getMessage(), basename($e->getFile()), $e->getLine()));
        }
    }

    private function opened(Event $event): void
    {
        $user = $this->users[$event->conn] = new User(++$this->lastNumber, $event->conn, $event->request->peer);
        // Who has no name yet looks on; and this node hears who is there on others.
        ws_subscribe($user->conn, self::PEOPLE, label: '');
        $this->log("open   #$user->number from $user->peer, " . count($this->users) . ' connected');
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
            $user->number,
            $user->peer,
            $event->code,
            $event->data ? " \"$event->data\"" : '',
            $event->clean ? '' : ', not clean,',
            microtime(true) - $user->since,
            count($this->users),
        ));
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
