<?php
declare(strict_types=1);

namespace WsEngine;

use Psr\Log\LoggerInterface;

/**
 * The server of this process, with handlers and timers instead of a loop of your own.
 *
 * A handler that throws ends nothing but itself: the handlers of "error" get the exception, everybody else goes on.
 */
final class Server
{
    /** @var \WeakReference<self>|null the one that was started last */
    private static ?\WeakReference $last = null;

    private readonly Handlers $handlers;
    private readonly Loop $loop;
    private readonly int $process;
    private bool $stopping = false;
    /** @var resource|null */
    private $stream = null;

    private function __construct(public readonly ServerInfo $info, ?LoggerInterface $logger)
    {
        $this->handlers = new Handlers($logger);
        $this->loop = new Loop($this->handlers);
        $this->process = (int) \getmypid();
    }

    private function __clone(): void
    {
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
        $last = self::$last?->get();
        $last?->finish();
        $info = \ws_server_start($options);
        $server = new self($info, $logger);
        $last?->loop->end();
        /** @var \WeakReference<self> $reference */
        $reference = \WeakReference::create($server);
        self::$last = $reference;
        return $server;
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
     * - backplane (bool $up, bool $gap, string $reason): with the option backplane; it is there, perhaps after a gap in which
     *   messages of other nodes were missed, or it is lost for this reason
     * - stop (): the server has stopped, nobody is connected any more
     */
    public function on(string $event, callable $handler): self
    {
        $this->handlers->add($event, $handler);
        return $this;
    }

    /**
     * Calls $handler every so many seconds, with the Timer. A turn that comes too late by more than that is left out.
     *
     * @param callable(Timer): mixed $handler
     */
    public function every(float $seconds, callable $handler): self
    {
        $this->loop->timers->add($seconds, true, $handler);
        return $this;
    }

    /**
     * Calls $handler once in so many seconds, with the Timer.
     *
     * @param callable(Timer): mixed $handler
     */
    public function after(float $seconds, callable $handler): self
    {
        $this->loop->timers->add($seconds, false, $handler);
        return $this;
    }

    /**
     * As every() or after(), but gives the timer, which can be cancelled.
     *
     * @param callable(Timer): mixed $handler
     */
    public function timer(float $seconds, callable $handler, bool $repeat = false): Timer
    {
        return $this->loop->timers->add($seconds, $repeat, $handler);
    }

    /** Serves until the server has stopped. */
    public function run(): void
    {
        $this->loop->run();
    }

    /**
     * Does what is to be done now, without waiting: for event loops, which call it when stream() is readable, and for
     * timers as often as they should be exact. It does not do all at once when that is much: stream() stays readable.
     */
    public function process(): void
    {
        $this->loop->process();
    }

    /**
     * A stream that is readable while there is something to process, for stream_select() and event loops.
     *
     * @return resource
     */
    public function stream()
    {
        return \is_resource($this->stream) ? $this->stream : $this->stream = \ws_event_stream();
    }

    /**
     * Begins to stop and returns at once; run() returns when all is done.
     *
     * @param float|null $drain seconds that clients have to take what is queued for them; null: the option drain_ms
     */
    public function stop(?float $drain = null): void
    {
        \ws_server_stop($drain);
        $this->stopping = true;
    }

    public function isStopped(): bool
    {
        return $this->loop->stopped;
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

    /** How many connections of this node have subscribed to $topic. */
    public function members(string $topic): int
    {
        return \ws_members($topic);
    }

    /**
     * Who is shown on $topic, on all nodes; for topics of the option presence.
     *
     * @return array<string, string> labels by id
     */
    public function presence(string $topic): array
    {
        return \ws_presence($topic);
    }

    /**
     * Those who are connected, by id: from their open on, to the end of their close.
     *
     * @return array<int, Connection>
     */
    public function connections(): array
    {
        return $this->loop->connections;
    }

    public function connection(int $id): ?Connection
    {
        return $this->loop->connections[$id] ?? null;
    }

    /** @return array<string, int> the counters of ws_stats() */
    public function stats(): array
    {
        return \ws_stats();
    }

    /** Another server can be started when this one has stopped; its handlers get what is left for them. */
    private function finish(): void
    {
        if ($this->stopping && $this->process === \getmypid()) {
            $this->loop->run();
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
