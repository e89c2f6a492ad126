<?php
declare(strict_types=1);

namespace WsEngine\Compat\Subclass;

/** User: somebody connected. */
#[\AllowDynamicProperties]
class User
{
    /** A string, never given twice. */
    public $id;
    public $socket;
    public $handshake;
}
