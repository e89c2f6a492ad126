<?php
declare(strict_types=1);

namespace WsEngine\Compat\Application;

/** Applications of \Bloatless\WebSocket: an exception instead of false. */
abstract class StrictApplication extends Application
{
    protected function decodeData($data)
    {
        return parent::decodeData($data) ?: throw new \RuntimeException('a message needs "action" and "data" in JSON');
    }

    protected function encodeData($action, $data)
    {
        return parent::encodeData($action, $data) ?: throw new \InvalidArgumentException('an action needs a name');
    }
}
