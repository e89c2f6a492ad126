<?php
declare(strict_types=1);

namespace WsEngine\Compat\Application;

use WsEngine\Compat\Peer;
use WsEngine\Compat\Socket;
use WsEngine\Connection as Engine;

/** A client of an application. */
#[\AllowDynamicProperties]
class Connection
{
    /** Only since scripts may look: messages arrive whole. */
    public $waitingForData = false;

    private readonly Socket $socket;
    private readonly Peer $peer;
    private readonly string $clientId;
    private bool $left = false;

    /** @internal the server makes them */
    public function __construct(
        private readonly Server $server,
        Engine $connection,
        private readonly ApplicationInterface $application,
    ) {
        $this->socket = Socket::from($connection->id, $connection->request);
        $this->peer = Peer::of($connection->request->peer);
        $this->clientId = \md5($connection->request->peer . '#' . $connection->id);
    }

    /**
     * @param string $type text, binary or close; ping and pong are the engine's business
     * @return bool was it queued?
     */
    public function send($payload, $type = 'text', $masked = false)
    {
        return match ($type) {
            'text' => $this->socket->send($payload),
            'binary' => \ws_send($this->socket->id, (string) $payload, true),
            'close' => $this->close(\strlen($payload) < 2 ? 1000 : \unpack('n', $payload)[1]) ?? true,
            'ping', 'pong' => $this->socket->isOpen(),
            default => throw new \ValueError("\"$type\" is no type of a message; there are text, binary and close"),
        };
    }

    /** The application's onDisconnect() is called within. */
    public function close($statusCode = 1000)
    {
        $this->socket->close((int) $statusCode);
        $this->leave();
    }

    /** What the old server called for a client that had gone. */
    public function onDisconnect()
    {
        $this->close();
    }

    public function log($message, $type = 'info')
    {
        $this->server->log("[client $this->peer] $message", $type);
    }

    public function getClientIp()
    {
        return $this->peer->ip;
    }

    public function getClientPort()
    {
        return $this->peer->port;
    }

    public function getClientId()
    {
        return $this->clientId;
    }

    public function getClientSocket()
    {
        return $this->socket;
    }

    public function getClientApplication()
    {
        return $this->application;
    }

    /** @internal the application is told once, by whichever side comes first */
    public function leave(): void
    {
        if (!$this->left) {
            $this->left = true;
            $this->server->leave($this);
        }
    }
}
