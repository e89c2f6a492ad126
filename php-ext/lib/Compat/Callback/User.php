<?php
declare(strict_types=1);

namespace WsEngine\Compat\Callback;

use WsEngine\Compat\Socket;

/** WebSocketUser: somebody connected. */
#[\AllowDynamicProperties]
class User
{
    /** A string, never given twice. */
    public $id = null;
    public $socket = null;
    public $handshake = false;
    public $ip = null;
    /** When the last message came, in seconds since 1970; null before the first. */
    public $lastAction = null;
    /** The script's own. */
    public $data = [];

    /** @param Socket $socket */
    public function __construct($socket)
    {
        $this->id = \uniqid();
        $this->socket = $socket;
        $this->ip = $socket->ip;
    }
}
