<?php
declare(strict_types=1);

namespace WsEngine\Compat\Ratchet;

/** Where Ratchet is not installed: a client, as components see it. */
interface ConnectionInterface
{
    public function send($data);

    public function close();
}
