<?php
declare(strict_types=1);

namespace WsEngine\Compat\Ratchet;

/** Around a WsServer: only pages of these hosts may connect, and nobody who does not say where he comes from. */
class OriginCheck
{
    /** @param list<string> $allowedOrigins */
    public function __construct(public readonly object $component, public array $allowedOrigins = [])
    {
    }
}
