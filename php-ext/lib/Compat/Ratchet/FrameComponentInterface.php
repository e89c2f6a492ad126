<?php
declare(strict_types=1);

namespace WsEngine\Compat\Ratchet;

/** Where Ratchet is not installed: a component that takes messages as objects, which know whether they are binary. */
interface FrameComponentInterface extends \Ratchet\ComponentInterface
{
    public function onMessage(\Ratchet\ConnectionInterface $conn, \Ratchet\RFC6455\Messaging\MessageInterface $msg);
}
