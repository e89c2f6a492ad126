<?php
declare(strict_types=1);

namespace WsEngine\Compat\Workerman;

/** What $connection->websocketType may be. */
final class Websocket
{
    /** Text. */
    public const BINARY_TYPE_BLOB = "\x81";
    public const BINARY_TYPE_ARRAYBUFFER = "\x82";
}
