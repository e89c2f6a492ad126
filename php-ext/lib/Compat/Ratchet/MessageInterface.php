<?php
declare(strict_types=1);

namespace WsEngine\Compat\Ratchet;

/** Where Ratchet is not installed: messages as strings. */
interface MessageInterface
{
    public function onMessage(\Ratchet\ConnectionInterface $from, $msg);
}
