<?php
declare(strict_types=1);

namespace WsEngine\Compat\Push;

use WsEngine\Compat\Socket;

/** Client: somebody connected. A child has a copy of its own, and still learns here when the client has gone. */
#[\AllowDynamicProperties]
class Client
{
    /** False once a send has found the client gone. */
    public $exists = true;
    private $handshake = false;
    private $pid = null;
    private $isConnected = true;

    /** @param Socket $socket */
    public function __construct(private $id, private $socket)
    {
    }

    public function getId()
    {
        return $this->id;
    }

    public function getSocket()
    {
        return $this->socket;
    }

    public function getHandshake()
    {
        return $this->handshake;
    }

    /** Of the child that pushes; null: none does. */
    public function getPid()
    {
        return $this->pid;
    }

    public function isConnected()
    {
        return $this->isConnected && $this->socket->isOpen();
    }

    public function setId($id)
    {
        $this->id = $id;
    }

    public function setSocket($socket)
    {
        $this->socket = $socket;
    }

    public function setHandshake($handshake)
    {
        $this->handshake = $handshake;
    }

    public function setPid($pid)
    {
        $this->pid = $pid;
    }

    public function setIsConnected($isConnected)
    {
        $this->isConnected = $isConnected;
        $this->exists = (bool) $isConnected;
    }
}
