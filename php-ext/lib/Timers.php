<?php
declare(strict_types=1);

namespace WsEngine;

/**
 * The timers of a server, those that are due first at the top.
 *
 * A cancelled timer leaves its entry in the heap until that comes up or there are too many such: to look for it there
 * would take longer than all else. An entry counts if the timer is still there and due at that very time.
 *
 * @internal
 */
final class Timers
{
    /** Serves the loop: a timer that repeats without a pause would leave no time for anything else. */
    private const SHORTEST = 0.001;
    /** So many entries without a timer are not worth the work to clear them away. */
    private const FEW = 64;

    /** When the first is due, at the earliest; INF without any. */
    public float $next = \INF;
    /** @var \SplMinHeap<array{float, int}> when which is due; at the same time, the one that was added first */
    private \SplMinHeap $heap;
    /** @var array<int, array{float, Timer}> */
    private array $timers = [];
    private int $lastId = 0;

    public function __construct()
    {
        $this->heap = new \SplMinHeap();
    }

    /** @param callable(Timer): mixed $handler */
    public function add(float $seconds, bool $repeats, callable $handler): Timer
    {
        $least = $repeats ? self::SHORTEST : 0.0;
        if (!($seconds >= $least && $seconds < \INF)) {
            throw new \ValueError("a timer takes seconds from $least on, $seconds given");
        }
        $id = ++$this->lastId;
        $timer = new Timer($seconds, $repeats, $handler(...), $this, $id);
        $this->insert(self::now() + $seconds, $id, $timer);
        return $timer;
    }

    public function has(int $id): bool
    {
        return isset($this->timers[$id]);
    }

    public function cancel(int $id): void
    {
        unset($this->timers[$id]);
        if (\count($this->heap) > 2 * \count($this->timers) + self::FEW) {
            $heap = new \SplMinHeap();
            foreach ($this->timers as $id => [$due]) {
                $heap->insert([$due, $id]);
            }
            $this->heap = $heap;
        }
    }

    /** Seconds until the next is due, negative if there is none. */
    public function wait(): float
    {
        $this->skip();
        if ($this->next === \INF) {
            return -1.0;
        }
        $wait = $this->next - self::now();
        return $wait > 0.0 ? $wait : 0.0;
    }

    /**
     * The id of the next that is due by $now, which is to be called.
     *
     * A timer that repeats gets its next time here. One that does not is due until it is called: an exception from a
     * signal's handler may come between.
     */
    public function due(float $now): ?int
    {
        $this->skip();
        if ($this->next > $now) {
            return null;
        }
        [$due, $id] = $this->heap->top();
        $timer = $this->timers[$id][1];
        if ($timer->repeats) {
            // In its rhythm, without those for which it is too late.
            $missed = \floor(($now - $due) / $timer->seconds);
            $this->insert($due + ($missed + 1) * $timer->seconds, $id, $timer);
        }
        return $id;
    }

    public function call(int $id): void
    {
        $timer = $this->timers[$id][1];
        if (!$timer->repeats) {
            unset($this->timers[$id]);
        }
        ($timer->handler)($timer);
    }

    public static function now(): float
    {
        return \hrtime(true) / 1e9;
    }

    private function insert(float $due, int $id, Timer $timer): void
    {
        $this->heap->insert([$due, $id]);
        $this->timers[$id] = [$due, $timer];
        $this->next = \min($this->next, $due);
    }

    private function skip(): void
    {
        while (!$this->heap->isEmpty()) {
            [$due, $id] = $this->heap->top();
            if (($this->timers[$id][0] ?? null) === $due) {
                $this->next = $due;
                return;
            }
            $this->heap->extract();
        }
        $this->next = \INF;
    }
}
