<?php
declare(strict_types=1);

namespace WsEngine\Compat\Workerman;

/** What callbacks name as the type of a connection. */
abstract class ConnectionInterface
{
    public const CONNECT_FAIL = 1;
    public const SEND_FAIL = 2;

    abstract public function send($data, $raw = false);

    abstract public function close($data = null, $raw = false);

    abstract public function getRemoteIp();

    abstract public function getRemotePort();

    abstract public function getRemoteAddress();
}
