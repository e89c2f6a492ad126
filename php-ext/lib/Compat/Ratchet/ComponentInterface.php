<?php
declare(strict_types=1);

namespace WsEngine\Compat\Ratchet;

/** Where Ratchet is not installed: what every component answers to. */
interface ComponentInterface
{
    public function onOpen(\Ratchet\ConnectionInterface $conn);

    public function onClose(\Ratchet\ConnectionInterface $conn);

    public function onError(\Ratchet\ConnectionInterface $conn, \Exception $e);
}
