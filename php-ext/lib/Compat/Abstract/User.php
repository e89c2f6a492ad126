<?php
declare(strict_types=1);

namespace WsEngine\Compat\Abstract;

/** WebSocketUser: somebody connected, or about to be. Scripts extend it and name their class in $userClass. */
#[\AllowDynamicProperties]
class User
{
    public $socket;
    public $id;
    /** By name in lower case; "get" is the resource. */
    public $headers = [];
    /** The head of the request as text, once the user is connected. */
    public $handshake = false;
    public $requestedResource;
    public $hasSentClose = false;

    public function __construct($id, $socket)
    {
        $this->id = $id;
        $this->socket = $socket;
    }
}
