<?php
declare(strict_types=1);

namespace WsEngine;

use Throwable;

/**
 * Takes events from the engine and hands them and the timers to the handlers.
 *
 * A handler of pcntl_signal() runs between any two instructions and may throw. In a handler of an event that is as if
 * this one had thrown. Anywhere else the exception leaves the loop, and whoever runs it again misses no event and sees
 * none twice. PHP 8.2 itself crashes when such an exception falls between a call, or a jump, and the argument that it
 * makes: here arguments are made before.
 *
 * @internal
 */
final class Loop
{
    /** Events taken at once. */
    private const BATCH = 256;
    /** Seconds: without asynchronous signals one can come just before a wait, and its handler runs after it. */
    private const LONGEST_WAIT = 1.0;
    /** One whose client has left meanwhile has no event that would end it. The engine lets 1,024 wait at most. */
    private const EXPECTED = 4096;

    public bool $stopped = false;
    /** @var array<int, Connection> from their open on, to the end of their close */
    public array $connections = [];
    public readonly Timers $timers;
    /** @var array<int, Handshake> those that were let in, until their open */
    private array $expected = [];
    /** @var list<Event> */
    private array $batch = [];
    /** The next of the batch. */
    private int $position = 0;
    /** @var array{list<\Closure>, list<mixed>, int}|null how far the event at $position has been handled */
    private ?array $begun = null;
    private readonly bool $signals;

    public function __construct(private readonly Handlers $handlers)
    {
        $this->timers = new Timers();
        $this->signals = \function_exists('pcntl_async_signals') && \function_exists('pcntl_signal_dispatch');
    }

    public function run(): void
    {
        while (!$this->stopped || isset($this->batch[$this->position])) {
            $wait = $this->timers->wait();
            $this->turn($wait);
        }
    }

    /** Does what is to be done now, but no more than a batch: the loop around this one has other things to do. */
    public function process(): void
    {
        $done = 0;
        do {
            $done += $count = $this->turn(0.0);
        } while ($count > 0 && $done < self::BATCH);
    }

    /** The engine has another server now: nothing more comes for the handlers of this one. */
    public function end(): void
    {
        $this->stopped = true;
        $this->batch = [];
        $this->connections = [];
    }

    /** Gives how many events were handled. */
    private function turn(float $timeout): int
    {
        if (!isset($this->batch[$this->position])) {
            if ($this->stopped) {
                return 0;
            }
            $this->take($timeout);
        }
        $count = 0;
        while (isset($this->batch[$this->position])) {
            $this->handle($this->batch[$this->position]);
            $count++;
            if ($this->timers->next !== \INF && $this->timers->next <= Timers::now()) {
                $this->ring();
            }
        }
        $this->ring();
        return $count;
    }

    private function take(float $timeout): void
    {
        // What was handled is freed before the wait.
        $this->batch = [];
        $this->position = 0;
        // A handler may suspend its fiber. What waits behind it has to be with the engine then, which wakes the loop
        // for it, and not in a batch here.
        $max = \Fiber::getCurrent() === null ? self::BATCH : 1;
        if (!$this->signals) {
            $this->batch = \ws_poll_events($max, $timeout);
            return;
        }
        $timeout = $timeout < 0.0 ? self::LONGEST_WAIT : \min($timeout, self::LONGEST_WAIT);
        $async = \pcntl_async_signals();
        try {
            // An exception between the return of the poll and the assignment would take the events with it.
            \pcntl_async_signals(false);
            $this->batch = \ws_poll_events($max, $timeout);
        } finally {
            \pcntl_async_signals($async);
        }
        \pcntl_signal_dispatch();
    }

    private function handle(Event $event): void
    {
        // No signal comes within these three lines: its exception leaves before all of them or after.
        $begun = $this->begun;
        $this->begun = null;
        $this->position++;
        $next = 0;
        try {
            if ($begun !== null) {
                [$handlers, $arguments, $next] = $begun;
            } elseif ($event->type === Event::MESSAGE && isset($this->connections[$event->conn])) {
                $handlers = $this->handlers->of['message'];
                $arguments = [$this->connections[$event->conn], $event->data, $event->binary];
            } else {
                $this->begin($event, $begun);
                [$handlers, $arguments, $next] = $begun;
            }
            while (isset($handlers[$next])) {
                try {
                    $handlers[$next++](...$arguments);
                } catch (Throwable $error) {
                    $this->failed($event, $error);
                }
            }
            if ($event->type === Event::CLOSE) {
                unset($this->connections[$event->conn]);
            }
        } catch (Throwable $error) {
            // Handlers of the event have theirs caught above: it is that of a signal.
            $this->begun = isset($handlers, $arguments) ? [$handlers, $arguments, $next] : $begun;
            \array_splice($this->batch, $this->position, 0, [$event]);
            throw $error;
        }
    }

    /**
     * Says how an event begins, with no signal between: PHP never frees what a function has just returned when a signal's
     * handler throws there.
     *
     * @param-out array{list<\Closure>, list<mixed>, int} $begun
     */
    private function begin(Event $event, ?array &$begun): void
    {
        $async = $this->signals && \pcntl_async_signals();
        try {
            if ($async) {
                \pcntl_async_signals(false);
            }
            [$handlers, $arguments] = $this->calls($event);
            $begun = [$handlers, $arguments, 0];
        } finally {
            if ($async) {
                \pcntl_async_signals(true);
            }
        }
        if ($async) {
            \pcntl_signal_dispatch();
        }
    }

    /** @return array{list<\Closure>, list<mixed>} the handlers of an event, and what to call them with */
    private function calls(Event $event): array
    {
        $connection = $this->connections[$event->conn] ?? null;
        $of = $this->handlers->of;
        if ($event->request !== null) {
            return $event->type === Event::HANDSHAKE
                ? $this->ask($event->conn, $event->request)
                : [$of['open'], [$connection ?? $this->open($event->conn, $event->request)]];
        }
        if ($event->type === Event::STOPPED) {
            $this->stopped = true;
            return [$of['stop'], []];
        }
        if ($event->type === Event::ERROR) {
            return [[$this->handlers->report(...)], [new Exception((string) $event->data, $event->code), null, '']];
        }
        if ($event->type === Event::BACKPLANE) {
            $up = $event->code === 1;
            return [$of['backplane'], [$up, $up && !$event->clean, (string) $event->data]];
        }
        if ($connection === null) {
            $what = "\"$event->type\" of connection $event->conn, whose \"open\" was polled by somebody else";
            return [[$this->handlers->report(...)], [new \LogicException($what), null, 'the loop']];
        }
        return $event->type === Event::CLOSE
            ? [$of['close'], [$connection, $event->code, $event->data, $event->clean]]
            : [$of['drain'], [$connection, $event->code]];
    }

    /** @return array{list<\Closure>, list<mixed>} as calls() */
    private function ask(int $id, Request $request): array
    {
        $accepted = $this->expect(...);
        $handshake = new Handshake($id, $request, $accepted);
        $handlers = $this->handlers->of['handshake'];
        if ($handlers === []) {
            $handshake->accept();
        }
        return [$handlers, [$handshake]];
    }

    private function expect(Handshake $handshake): void
    {
        $this->expected[$handshake->id] = $handshake;
        if (\count($this->expected) > self::EXPECTED) {
            unset($this->expected[\array_key_first($this->expected)]);
        }
    }

    private function open(int $id, Request $request): Connection
    {
        $connection = new Connection($id, $request);
        $connection->attributes = ($this->expected[$id] ?? null)?->attributes ?? [];
        unset($this->expected[$id]);
        return $this->connections[$id] = $connection;
    }

    private function failed(Event $event, Throwable $error): void
    {
        $who = 'the handler of "' . ($event->type === Event::STOPPED ? 'stop' : $event->type) . '"';
        $connection = $this->connections[$event->conn] ?? null;
        $this->handlers->report($error, $connection, $who);
        if ($event->type === Event::HANDSHAKE) {
            // Nobody comes in by a mistake. Too late if the handler had decided already.
            \ws_reject($event->conn, 500);
        }
    }

    private function ring(): void
    {
        $now = Timers::now();
        while (!$this->stopped && ($id = $this->timers->due($now)) !== null) {
            try {
                $this->timers->call($id);
            } catch (Throwable $error) {
                $this->handlers->report($error, null, 'a timer');
            }
        }
    }
}
