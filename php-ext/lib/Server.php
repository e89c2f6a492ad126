<?php
declare(strict_types=1);

namespace WsEngine;

use Psr\Log\LoggerInterface;
use Throwable;
use ValueError;

/**
 * The server of this process, with handlers and timers instead of a loop of your own.
 *
 * A handler that throws ends nothing but itself: the handlers of "error" get the exception, everybody else goes on.
 */
final class Server
{
    private const EVENTS = ['handshake', 'open', 'message', 'drain', 'close', 'error', 'stop'];
    /** Events taken at once. Timers are looked at between two batches. */
    private const BATCH = 256;
    /** Handshakes that are remembered for their attributes; one whose client left has no event that would end it. */
    private const HANDSHAKES = 4096;

    /** @var array<string, list<callable>> */
    private array $handlers = [];
    /** @var array<int, Connection> */
    private array $connections = [];
    /** @var array<int, Handshake> */
    private array $handshakes = [];
    /** @var list<Event> */
    private array $batch = [];
    /** The next of the batch: an exception that leaves the loop, as from a signal's handler, loses no event. */
    private int $position = 0;
    private bool $stopped = false;
    private readonly Timers $timers;
    /** @var resource|null */
    private $stream = null;

    private function __construct(public readonly ServerInfo $info, private readonly ?LoggerInterface $logger)
    {
        $this->timers = new Timers();
    }

    /**
     * Starts the server and returns when it listens.
     *
     * @param array<string, mixed>|string $options as ws_server_start() takes them
     * @throws Exception as ws_server_start() does
     */
    public static function listen(array|string $options = [], ?LoggerInterface $logger = null): self
    {
        if (!\extension_loaded('wsengine')) {
            throw new \LogicException('the extension wsengine is not loaded; add -d extension=wsengine.so, or a line '
                . 'extension=wsengine to php.ini');
        }
        return new self(\ws_server_start($options), $logger);
    }

    /**
     * Adds a handler:
     *
     * - handshake (Handshake): with the option handshake_events; without a handler everybody may come in
     * - open (Connection)
     * - message (Connection, string $data, bool $binary)
     * - drain (Connection, int $dropped): its send queue, full before, is below half; so many messages were left out
     * - close (Connection, int $code, string $reason, bool $clean)
     * - error (Throwable, ?Connection): a handler threw, or the engine reports an error that belongs to nobody
     * - stop (): the server has stopped, nobody is connected any more
     */
    public function on(string $event, callable $handler): self
    {
        if (!\in_array($event, self::EVENTS, true)) {
            throw new ValueError("there is no event \"$event\"; there are " . \implode(', ', self::EVENTS));
        }
        $this->handlers[$event][] = $handler;
        return $this;
    }

    /**
     * Calls $handler every so many seconds, with the Timer. A turn that comes too late by more than that is left out.
     *
     * @param callable(Timer): mixed $handler
     */
    public function every(float $seconds, callable $handler): self
    {
        $this->timers->add($seconds, true, $handler);
        return $this;
    }

    /**
     * Calls $handler once in so many seconds, with the Timer.
     *
     * @param callable(Timer): mixed $handler
     */
    public function after(float $seconds, callable $handler): self
    {
        $this->timers->add($seconds, false, $handler);
        return $this;
    }

    /**
     * As every() or after(), but gives the timer, which can be cancelled.
     *
     * @param callable(Timer): mixed $handler
     */
    public function timer(float $seconds, callable $handler, bool $repeat = false): Timer
    {
        return $this->timers->add($seconds, $repeat, $handler);
    }

    /** Serves until the server has stopped. */
    public function run(): void
    {
        while (!$this->stopped) {
            $this->turn($this->timers->wait());
        }
    }

    /**
     * Does what is to be done now, without waiting: for event loops, which call it when stream() is readable, and for
     * timers as often as they should be exact.
     */
    public function process(): void
    {
        do {
            $this->turn(0.0);
        } while (!$this->stopped && $this->batch !== []);
    }

    /**
     * A stream that is readable while there is something to process, for stream_select() and event loops.
     *
     * @return resource
     */
    public function stream()
    {
        return $this->stream ??= \ws_event_stream();
    }

    /**
     * Begins to stop and returns at once; run() returns when all is done.
     *
     * @param float|null $drain seconds that clients have to take what is queued for them; null: the option drain_ms
     */
    public function stop(?float $drain = null): void
    {
        \ws_server_stop($drain);
    }

    public function isStopped(): bool
    {
        return $this->stopped;
    }

    /**
     * Queues a message for everybody but $except; gives for how many.
     *
     * @param iterable<Connection|int> $except
     */
    public function broadcast(string $data, bool $binary = false, iterable $except = []): int
    {
        return \ws_broadcast($data, $binary, self::ids($except));
    }

    /**
     * Queues a message for those who subscribed to $topic, but $except; gives for how many.
     *
     * @param iterable<Connection|int> $except
     */
    public function publish(string $topic, string $data, bool $binary = false, iterable $except = []): int
    {
        return \ws_publish($topic, $data, $binary, self::ids($except));
    }

    /**
     * Those who are connected, by id: from their open on, to the end of their close.
     *
     * @return array<int, Connection>
     */
    public function connections(): array
    {
        return $this->connections;
    }

    public function connection(int $id): ?Connection
    {
        return $this->connections[$id] ?? null;
    }

    /** @return array<string, int> the counters of ws_stats() */
    public function stats(): array
    {
        return \ws_stats();
    }

    private function turn(float $timeout): void
    {
        if (!isset($this->batch[$this->position])) {
            $this->position = 0;
            $this->batch = \ws_poll_events(self::BATCH, $timeout);
        }
        if (\function_exists('pcntl_signal_dispatch')) {
            \pcntl_signal_dispatch();
        }
        while (isset($this->batch[$this->position])) {
            $this->handle($this->batch[$this->position++]);
        }
        foreach ($this->timers->due() as $timer) {
            $this->guard(null, 'a timer', $timer->handler, $timer);
        }
    }

    private function handle(Event $event): void
    {
        switch ($event->type) {
            case Event::MESSAGE:
                $this->fire('message', $this->connections[$event->conn], $event->data, $event->binary);
                break;
            case Event::OPEN:
                $connection = new Connection($event->conn, $event->request);
                $connection->attributes = ($this->handshakes[$event->conn] ?? null)?->attributes ?? [];
                unset($this->handshakes[$event->conn]);
                $this->connections[$event->conn] = $connection;
                $this->fire('open', $connection);
                break;
            case Event::CLOSE:
                $connection = $this->connections[$event->conn];
                $this->fire('close', $connection, $event->code, $event->data, $event->clean);
                unset($this->connections[$event->conn]);
                break;
            case Event::DRAIN:
                $this->fire('drain', $this->connections[$event->conn], $event->code);
                break;
            case Event::HANDSHAKE:
                $this->ask(new Handshake($event->conn, $event->request));
                break;
            case Event::ERROR:
                $this->report(new Exception((string) $event->data, $event->code), null, 'the engine');
                break;
            case Event::STOPPED:
                $this->stopped = true;
                $this->fire('stop');
                break;
        }
    }

    private function ask(Handshake $handshake): void
    {
        $this->handshakes[$handshake->id] = $handshake;
        if (\count($this->handshakes) > self::HANDSHAKES) {
            unset($this->handshakes[\array_key_first($this->handshakes)]);
        }
        if (!isset($this->handlers['handshake'])) {
            $handshake->accept();
            return;
        }
        foreach ($this->handlers['handshake'] as $handler) {
            if (!$this->guard(null, 'the handler of "handshake"', $handler, $handshake)) {
                // Nobody comes in by a mistake. It is too late if the handler had decided already.
                $handshake->reject(500);
            }
        }
    }

    private function fire(string $event, mixed ...$arguments): void
    {
        foreach ($this->handlers[$event] ?? [] as $handler) {
            $this->guard($arguments[0] ?? null, "the handler of \"$event\"", $handler, ...$arguments);
        }
    }

    /** Calls a handler; false if it threw. */
    private function guard(?Connection $connection, string $who, callable $handler, mixed ...$arguments): bool
    {
        try {
            $handler(...$arguments);
            return true;
        } catch (Throwable $error) {
            $this->report($error, $connection, $who);
            return false;
        }
    }

    private function report(Throwable $error, ?Connection $connection, string $who): void
    {
        foreach ($this->handlers['error'] ?? [] as $handler) {
            try {
                $handler($error, $connection);
            } catch (Throwable $second) {
                $this->log($second, 'the handler of "error"');
            }
        }
        if (!isset($this->handlers['error'])) {
            $this->log($error, $who);
        }
    }

    private function log(Throwable $error, string $who): void
    {
        $what = $error instanceof Exception && $who === 'the engine' ? $error->getMessage() : \sprintf(
            '%s threw %s: %s in %s:%d',
            $who,
            $error::class,
            $error->getMessage(),
            $error->getFile(),
            $error->getLine(),
        );
        if ($this->logger !== null) {
            $this->logger->error($what, ['exception' => $error]);
        } else {
            \fwrite(\STDERR, \sprintf("[%s] wsengine error: %s\n", \date('Y-m-d H:i:s'), $what));
        }
    }

    /**
     * @param iterable<Connection|int> $connections
     * @return list<int>
     */
    private static function ids(iterable $connections): array
    {
        $ids = [];
        foreach ($connections as $connection) {
            $ids[] = $connection instanceof Connection ? $connection->id : $connection;
        }
        return $ids;
    }
}
