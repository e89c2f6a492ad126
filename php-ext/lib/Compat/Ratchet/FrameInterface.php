<?php
declare(strict_types=1);

namespace WsEngine\Compat\Ratchet;

/** Where Ratchet is not installed: a message as an object. */
interface FrameInterface extends \Stringable, \Countable
{
    public function getPayload();

    public function getOpcode();

    public function isBinary();
}
