<?php
declare(strict_types=1);

namespace WsEngine;

/**
 * The timers of a server, those that are due first at the top.
 *
 * @internal
 */
final class Timers
{
    /** Serves the loop: a timer that repeats without a pause would leave no time for anything else. */
    private const SHORTEST = 0.001;

    /** @var \SplMinHeap<array{float, int, Timer}> */
    private \SplMinHeap $heap;
    /** Those that are due at the same time come in the order in which they were added. */
    private int $serial = 0;

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
        $timer = new Timer($seconds, $repeats, $handler);
        $this->insert(self::now() + $seconds, $timer);
        return $timer;
    }

    /** Seconds until the next is due, negative if there is none. */
    public function wait(): float
    {
        $this->forgetCancelled();
        return $this->heap->isEmpty() ? -1.0 : \max(0.0, $this->heap->top()[0] - self::now());
    }

    /**
     * Those that are due by now, one after the other: a handler may cancel the next.
     *
     * @return iterable<Timer>
     */
    public function due(): iterable
    {
        for ($now = self::now(); ; ) {
            $this->forgetCancelled();
            if ($this->heap->isEmpty() || $this->heap->top()[0] > $now) {
                return;
            }
            [$due, , $timer] = $this->heap->extract();
            if ($timer->repeats) {
                // In its rhythm, without those for which it is too late.
                $missed = \floor(($now - $due) / $timer->seconds);
                $this->insert($due + ($missed + 1) * $timer->seconds, $timer);
            } else {
                $timer->cancel();
            }
            yield $timer;
        }
    }

    private function insert(float $due, Timer $timer): void
    {
        $this->heap->insert([$due, $this->serial++, $timer]);
    }

    private function forgetCancelled(): void
    {
        while (!$this->heap->isEmpty() && !$this->heap->top()[2]->isActive()) {
            $this->heap->extract();
        }
    }

    private static function now(): float
    {
        return \hrtime(true) / 1e9;
    }
}
