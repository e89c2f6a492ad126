<?php
declare(strict_types=1);

namespace WsEngine\Compat\Ratchet;

/** Where Ratchet is not installed: a component that speaks subprotocols. */
interface WsServerInterface
{
    /** @return list<string> */
    public function getSubProtocols();
}
