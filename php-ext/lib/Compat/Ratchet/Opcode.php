<?php
declare(strict_types=1);

namespace WsEngine\Compat\Ratchet;

/** RFC 6455, 5.2. */
final class Opcode
{
    public const TEXT = 1;
    public const BINARY = 2;
    public const CLOSE = 8;
}
