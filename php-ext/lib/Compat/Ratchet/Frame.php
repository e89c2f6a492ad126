<?php
declare(strict_types=1);

namespace WsEngine\Compat\Ratchet;

/** Where Ratchet is not installed: a message, as it comes in or is to be sent. */
final class Frame implements \Ratchet\RFC6455\Messaging\MessageInterface
{
    public const OP_TEXT = 1;
    public const OP_BINARY = 2;
    public const OP_CLOSE = 8;
    public const OP_PING = 9;
    public const OP_PONG = 10;

    private readonly string $payload;

    public function __construct($payload = '', $final = true, private readonly int $opcode = self::OP_TEXT)
    {
        $this->payload = (string) $payload;
    }

    public function getPayload(): string
    {
        return $this->payload;
    }

    public function getOpcode(): int
    {
        return $this->opcode;
    }

    public function isBinary(): bool
    {
        return $this->opcode === self::OP_BINARY;
    }

    /** Frames of which it is made. */
    public function count(): int
    {
        return 1;
    }

    public function __toString(): string
    {
        return $this->payload;
    }
}
