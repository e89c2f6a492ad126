<?php
// Somebody connected to the chat.

declare(strict_types=1);

final class User
{
    /** What the others call this user; null until the browser has said it. */
    public ?string $name = null;

    public readonly float $since;

    /**
     * @param int $id 1, 2, 3 …; what the others see. A connection's own number is 63 bits wide, more than
     *                a number in JavaScript can hold
     */
    public function __construct(
        public readonly int $id,
        public readonly int $conn,
        public readonly string $peer,
    ) {
        $this->since = microtime(true);
    }
}
