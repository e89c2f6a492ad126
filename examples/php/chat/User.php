<?php
// Somebody connected to the chat.

declare(strict_types=1);

final class User
{
    /** What the others call this user; null until the browser has said it. */
    public ?string $name = null;

    public readonly float $since;

    /** What the pages know this user by: nobody else has it, on any node. */
    public readonly string $id;

    /** @param int $number 1, 2, 3 …; for the console */
    public function __construct(
        public readonly int $number,
        public readonly int $conn,
        public readonly string $peer,
    ) {
        $this->id = bin2hex(random_bytes(6));
        $this->since = microtime(true);
    }
}
