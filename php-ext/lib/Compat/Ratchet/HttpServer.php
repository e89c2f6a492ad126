<?php
declare(strict_types=1);

namespace WsEngine\Compat\Ratchet;

/** Around a WsServer. HTTP is the engine's business. */
class HttpServer
{
    public function __construct(public readonly object $component)
    {
    }
}
