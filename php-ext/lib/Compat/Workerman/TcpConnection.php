<?php
declare(strict_types=1);

namespace WsEngine\Compat\Workerman;

use WsEngine\Compat\Peer;
use WsEngine\Compat\Socket;

/** A client. Callbacks set on it go before those of its worker. */
#[\AllowDynamicProperties]
class TcpConnection extends ConnectionInterface
{
    public const STATUS_INITIAL = 0;
    public const STATUS_CONNECTING = 1;
    public const STATUS_ESTABLISHED = 2;
    public const STATUS_CLOSING = 4;
    public const STATUS_CLOSED = 8;

    private const CALLBACKS = [
        'onMessage', 'onClose', 'onError', 'onBufferFull', 'onBufferDrain', 'onWebSocketConnect',
    ];

    /** Bytes that may wait to be sent; what is set before runAll() holds for all. */
    public static $defaultMaxSendBufferSize = 1048576;
    /** The largest message from a client; what is set before runAll() holds for all. */
    public static $defaultMaxPackageSize = 10485760;
    /** @var array<int, self> */
    public static $connections = [];

    public $onMessage = null;
    public $onClose = null;
    public $onError = null;
    public $onBufferFull = null;
    public $onBufferDrain = null;
    public $onWebSocketConnect = null;

    public $id;
    public $worker;
    public $transport;
    public $protocol = Websocket::class;
    /** Text or binary, for what is sent from now on. */
    public $websocketType = Websocket::BINARY_TYPE_BLOB;
    /** @var list<string>|string "Name: value", for the answer to the handshake; set it in onWebSocketConnect */
    public $headers = [];
    /** @var \stdClass for scripts */
    public $context;
    public $bytesRead = 0;
    public $bytesWritten = 0;
    public $maxSendBufferSize;
    public $maxPackageSize;

    private static int $lastId = 0;
    private readonly Peer $peer;
    private ?Socket $socket = null;
    private int $status = self::STATUS_ESTABLISHED;
    /** @var list<array{string, string}> type and message, sent before the handshake was done */
    private array $early = [];
    private int $earlyBytes = 0;
    private bool $full = false;

    /** @internal the listener makes them */
    public function __construct(Worker $worker, string $peer)
    {
        $this->id = ++self::$lastId;
        $this->worker = $worker;
        $this->transport = $worker->transport;
        $this->context = new \stdClass();
        $this->maxSendBufferSize = self::$defaultMaxSendBufferSize;
        $this->maxPackageSize = self::$defaultMaxPackageSize;
        $this->peer = Peer::of($peer);
        foreach (self::CALLBACKS as $callback) {
            $this->$callback = $worker->$callback;
        }
        self::$connections[$this->id] = $worker->connections[$this->id] = $this;
    }

    /** @return bool|null queued; null: sent when the handshake is done; false: it is closed, or its buffer is full */
    public function send($data, $raw = false)
    {
        if ($raw) {
            throw new \LogicException('frames of your own cannot be sent, only messages: leave out $raw');
        }
        if (!\is_scalar($data) && !$data instanceof \Stringable) {
            throw new \InvalidArgumentException('a message is a string, ' . \get_debug_type($data) . ' given');
        }
        $type = $this->websocketType ?: Websocket::BINARY_TYPE_BLOB;
        if ($this->status !== self::STATUS_ESTABLISHED) {
            return false;
        }
        if ($this->socket === null) {
            return $this->keep($type, (string) $data);
        }
        return $this->queue($type, (string) $data);
    }

    /** Sends what is given, then closes. onClose is called within. */
    public function close($data = null, $raw = false)
    {
        if ($this->status === self::STATUS_ESTABLISHED) {
            if ($data !== null) {
                $this->send($data, $raw);
            }
            $this->destroy();
        }
    }

    public function destroy()
    {
        $this->socket?->close();
        $this->gone();
    }

    public function getStatus($rawOutput = true)
    {
        return $rawOutput ? $this->status : ($this->status === self::STATUS_CLOSED ? 'CLOSED' : 'ESTABLISHED');
    }

    public function getRemoteIp()
    {
        return $this->peer->ip;
    }

    public function getRemotePort()
    {
        return $this->peer->port;
    }

    public function getRemoteAddress()
    {
        return (string) $this->peer;
    }

    public function isIpV4()
    {
        return !$this->isIpV6();
    }

    public function isIpV6()
    {
        return \str_contains($this->peer->ip, ':');
    }

    /** @internal the handshake is done: what was sent meanwhile goes out, a close too */
    public function opened(int $connection): void
    {
        $this->socket = new Socket($connection);
        foreach ($this->early as [$type, $data]) {
            $this->queue($type, $data);
        }
        $this->early = [];
        if ($this->status === self::STATUS_CLOSED) {
            $this->socket->close();
        }
    }

    /** @internal */
    public function received(string $data): void
    {
        $this->bytesRead += \strlen($data);
        if ($this->status === self::STATUS_ESTABLISHED && $this->onMessage) {
            ($this->onMessage)($this, $data);
        }
    }

    /** @internal */
    public function drained(): void
    {
        $this->full = false;
        if ($this->onBufferDrain) {
            ($this->onBufferDrain)($this);
        }
    }

    /** @internal onClose is called once, by whichever side comes first */
    public function gone(): void
    {
        if ($this->status === self::STATUS_CLOSED) {
            return;
        }
        $this->status = self::STATUS_CLOSED;
        try {
            if ($this->onClose) {
                ($this->onClose)($this);
            }
        } finally {
            unset(self::$connections[$this->id], $this->worker->connections[$this->id]);
        }
    }

    private function keep(string $type, string $data): ?bool
    {
        $this->earlyBytes += \strlen($data);
        if ($this->earlyBytes > $this->maxSendBufferSize) {
            $this->overflow();
            return false;
        }
        $this->early[] = [$type, $data];
        return null;
    }

    private function queue(string $type, string $data): bool
    {
        $sent = match ($type) {
            Websocket::BINARY_TYPE_ARRAYBUFFER => \ws_send($this->socket->id, $data, true),
            Websocket::BINARY_TYPE_BLOB => $this->socket->send($data),
            // Pings and pongs are the engine's business.
            default => true,
        };
        if ($sent) {
            $this->bytesWritten += \strlen($data);
        } elseif ($this->socket->isOpen()) {
            $this->overflow();
        }
        return $sent;
    }

    private function overflow(): void
    {
        if ($this->onError) {
            ($this->onError)($this, self::SEND_FAIL, 'send buffer full and drop package');
        }
        if (!$this->full && $this->onBufferFull) {
            ($this->onBufferFull)($this);
        }
        $this->full = true;
    }
}
