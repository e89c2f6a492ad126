<?php
declare(strict_types=1);

namespace WsEngine\Compat\Ratchet;

use Ratchet\ConnectionInterface as Client;

/** The component of Ratchet's own that sends everything back. */
class EchoServer implements \Ratchet\MessageComponentInterface
{
    public function onOpen(Client $conn)
    {
    }

    public function onMessage(Client $from, $msg)
    {
        $from->send($msg);
    }

    public function onClose(Client $conn)
    {
    }

    public function onError(Client $conn, \Exception $e)
    {
        $conn->close();
    }
}
