<?php
declare(strict_types=1);

namespace WsEngine\Compat\Ratchet;

use WsEngine\Compat\Socket;
use WsEngine\Connection as Engine;

/** A client, the same object as long as it is connected. Components keep on it what they like. */
#[\AllowDynamicProperties]
final class Connection implements \Ratchet\ConnectionInterface
{
    /** 1, 2, 3 …: the engine's own numbers are larger than a page's JavaScript can count. */
    public int $resourceId;
    /** The IP address. */
    public string $remoteAddress;
    /** @var \Psr\Http\Message\RequestInterface|Request the first where a PSR-7 implementation is installed */
    public object $httpRequest;
    /** Its property "closing" says whether close() was called. */
    public \stdClass $WebSocket;

    private static int $lastId = 0;
    private readonly Socket $socket;

    /**
     * @internal the server makes them
     * @param array<string, string> $parameters what the path held in the places of {name}
     */
    public function __construct(Engine $connection, array $parameters)
    {
        $this->socket = Socket::from($connection->id, $connection->request);
        $this->resourceId = ++self::$lastId;
        $this->remoteAddress = $this->socket->ip;
        $this->httpRequest = Request::of($connection->request, $parameters);
        $this->WebSocket = (object) ['closing' => false];
    }

    /** @param string|object $data text, or a Frame with its opcode */
    public function send($data): \Ratchet\ConnectionInterface
    {
        $opcode = self::opcode($data);
        if ($opcode === Opcode::CLOSE) {
            $this->close($data);
        } elseif (!$this->WebSocket->closing && $opcode === Opcode::BINARY) {
            \ws_send($this->socket->id, (string) $data->getPayload(), true);
        } elseif (!$this->WebSocket->closing && $opcode === Opcode::TEXT) {
            $this->socket->send(\is_object($data) && \method_exists($data, 'getPayload') ? $data->getPayload() : $data);
        }
        // Pings and pongs are the engine's business.
        return $this;
    }

    /** @param int|object $code a close code, or a Frame that has it */
    public function close($code = 1000, $reason = ''): void
    {
        if (\is_object($code)) {
            $payload = (string) $code->getPayload();
            $reason = \substr($payload, 2);
            $code = \strlen($payload) < 2 ? 1000 : \unpack('n', $payload)[1];
        }
        if (!$this->WebSocket->closing) {
            $this->socket->close((int) $code, (string) $reason);
            $this->WebSocket->closing = true;
        }
    }

    private static function opcode(mixed $data): int
    {
        return \is_object($data) && \method_exists($data, 'getOpcode') ? (int) $data->getOpcode() : Opcode::TEXT;
    }
}
