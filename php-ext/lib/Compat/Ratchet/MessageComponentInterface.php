<?php
declare(strict_types=1);

namespace WsEngine\Compat\Ratchet;

/** Where Ratchet is not installed: a component that takes messages as strings. */
interface MessageComponentInterface extends \Ratchet\ComponentInterface, \Ratchet\MessageInterface
{
}
