<?php
declare(strict_types=1);

namespace WsEngine;

/** Something that a server does later, once or again and again. */
final class Timer
{
    /**
     * @internal Server::timer() makes them
     * @param \Closure(Timer): mixed $handler
     */
    public function __construct(
        public readonly float $seconds,
        public readonly bool $repeats,
        public readonly \Closure $handler,
        private readonly Timers $timers,
        private readonly int $id,
    ) {
    }

    /** It may be called in the timer's own handler too, and again. */
    public function cancel(): void
    {
        $this->timers->cancel($this->id);
    }

    /** Will it be called, or called again? */
    public function isActive(): bool
    {
        return $this->timers->has($this->id);
    }
}
