<?php
declare(strict_types=1);

namespace WsEngine;

/** Something that a server does later, once or again and again. */
final class Timer
{
    private bool $active = true;

    /**
     * @internal Server::timer() makes them
     * @param callable(Timer): mixed $handler
     */
    public function __construct(public readonly float $seconds, public readonly bool $repeats, public readonly mixed $handler)
    {
    }

    public function cancel(): void
    {
        $this->active = false;
    }

    /** Will it be called, or called again? */
    public function isActive(): bool
    {
        return $this->active;
    }
}
