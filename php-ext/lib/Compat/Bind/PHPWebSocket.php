<?php
declare(strict_types=1);

namespace WsEngine\Compat\Bind;

use WsEngine\Compat\Listening;
use WsEngine\Compat\Script;
use WsEngine\Compat\Socket;
use WsEngine\Connection;
use WsEngine\Server;

/** The server of scripts that bind functions to "open", "message" and "close". Clients are numbered from 1 on. */
#[\AllowDynamicProperties]
class PHPWebSocket
{
    // Limits, which a subclass may set anew. Times are seconds.
    public const WS_MAX_CLIENTS = 100;
    public const WS_MAX_CLIENTS_PER_IP = 15;
    public const WS_TIMEOUT_RECV = 10;
    public const WS_TIMEOUT_PONG = 5;
    public const WS_MAX_MESSAGE_PAYLOAD_RECV = 500000;

    public const WS_OPCODE_TEXT = 1;
    public const WS_OPCODE_BINARY = 2;

    public const WS_READY_STATE_CONNECTING = 0;
    public const WS_READY_STATE_OPEN = 1;
    public const WS_READY_STATE_CLOSING = 2;
    public const WS_READY_STATE_CLOSED = 3;

    public const WS_STATUS_NORMAL_CLOSE = 1000;
    public const WS_STATUS_GONE_AWAY = 1001;
    public const WS_STATUS_PROTOCOL_ERROR = 1002;
    public const WS_STATUS_UNSUPPORTED_MESSAGE_TYPE = 1003;
    public const WS_STATUS_MESSAGE_TOO_BIG = 1004;
    public const WS_STATUS_TIMEOUT = 3000;

    /**
     * Those who are connected, by their numbers. Scripts read 0, the socket; 2, the ready state; 3, when something came
     * last; 5, the close status; 6, the address for long2ip(), 0 if it is of IPv6. They keep their own from 12 on.
     *
     * @var array<int, array<int|string, mixed>>
     */
    public $wsClients = [];
    /** @var array<int, Socket> */
    public $wsRead = [];
    /** @var int */
    public $wsClientCount = 0;
    /** @var array<int, int> */
    public $wsClientIPCount = [];
    /** @var array<string, list<callable>> */
    public $wsOnEvents = [];

    private ?Server $server = null;
    /** @var array<int, int> the number of a client, by its connection */
    private array $numbers = [];

    /** Only so that subclasses may call it. */
    public function __construct()
    {
    }

    /**
     * Adds a function for "open" ($clientID), "message" ($clientID, $message, $length, $binary) or
     * "close" ($clientID, $status).
     */
    public function bind($type, $func)
    {
        $this->wsOnEvents[$type][] = $func;
    }

    /** Forgets the functions for an event, or for all. */
    public function unbind($type = '')
    {
        if ($type) {
            unset($this->wsOnEvents[$type]);
        } else {
            $this->wsOnEvents = [];
        }
    }

    /** Serves until it was stopped, then gives true. False: it serves already. */
    public function wsStartServer($host, $port)
    {
        if ($this->server !== null) {
            return false;
        }
        $this->server = Script::listen(Listening::options($host, $port, [
            'max_connections' => static::WS_MAX_CLIENTS,
            'max_connections_per_ip' => static::WS_MAX_CLIENTS_PER_IP,
            'max_message_bytes' => static::WS_MAX_MESSAGE_PAYLOAD_RECV,
            'ping_interval_ms' => 1000 * static::WS_TIMEOUT_RECV,
            'pong_timeout_ms' => 1000 * static::WS_TIMEOUT_PONG,
        ]));
        $this->server
            ->on('open', $this->opened(...))
            ->on('message', $this->received(...))
            ->on('close', $this->closed(...));
        try {
            Script::run($this->server);
        } finally {
            $this->server = null;
        }
        return true;
    }

    /** Has wsStartServer() return when everybody was told (1001) and "close" was called. False: it does not serve. */
    public function wsStopServer()
    {
        $this->server?->stop(Script::DRAIN);
        return $this->server !== null;
    }

    public function wsSend($clientID, $message, $binary = false)
    {
        $socket = $this->wsRead[$clientID] ?? null;
        if ($socket === null) {
            return false;
        }
        return $binary ? \ws_send($socket->id, (string) $message, true) : $socket->send($message);
    }

    public function wsSendClientMessage($clientID, $opcode, $message)
    {
        return $this->wsSend($clientID, $message, $opcode === static::WS_OPCODE_BINARY);
    }

    public function wsClose($clientID)
    {
        return $this->wsSendClientClose($clientID, static::WS_STATUS_NORMAL_CLOSE);
    }

    /** "close" is called with $status when the client has answered, or did not in time. */
    public function wsSendClientClose($clientID, $status = false)
    {
        if (!isset($this->wsRead[$clientID])) {
            return false;
        }
        if ($this->wsClients[$clientID][2] === self::WS_READY_STATE_OPEN) {
            $this->wsClients[$clientID][2] = self::WS_READY_STATE_CLOSING;
            $this->wsClients[$clientID][5] = $status;
            $this->wsRead[$clientID]->close($status === false ? self::WS_STATUS_NORMAL_CLOSE : (int) $status);
        }
        return true;
    }

    public function wsGetClientSocket($clientID)
    {
        return $this->wsClients[$clientID][0];
    }

    public function log($message)
    {
        echo \date('Y-m-d H:i:s: '), $message, "\n";
    }

    private function opened(Connection $connection): void
    {
        for ($number = 1; isset($this->wsRead[$number]); ) {
            $number++;
        }
        $socket = Socket::from($connection->id, $connection->request);
        $ip = (int) \ip2long($socket->ip);
        $this->numbers[$connection->id] = $number;
        $this->wsRead[$number] = $socket;
        $state = self::WS_READY_STATE_OPEN;
        $this->wsClients[$number] = [$socket, '', $state, \time(), false, 0, $ip, false, 0, '', 0, 0];
        $this->wsClientCount++;
        $this->wsClientIPCount[$ip] = ($this->wsClientIPCount[$ip] ?? 0) + 1;
        $this->call('open', $number);
    }

    private function received(Connection $connection, string $data, bool $binary): void
    {
        $number = $this->numbers[$connection->id];
        $this->wsClients[$number][3] = \time();
        // What had come before it was closed is not the script's any more.
        if ($this->wsClients[$number][2] === self::WS_READY_STATE_OPEN) {
            $this->call('message', $number, $data, \strlen($data), $binary);
        }
    }

    /** Until the functions have returned the client is there, so that they can ask who it was. */
    private function closed(Connection $connection, int $code): void
    {
        $number = $this->numbers[$connection->id];
        $ip = $this->wsClients[$number][6];
        $this->wsClients[$number][2] = self::WS_READY_STATE_CLOSED;
        // What the server has closed with; if the client was first, 1000 as the answer to it, or 0 if it vanished.
        $status = $this->wsClients[$number][5] ?: match ($code) {
            1000, 1001, 1005 => self::WS_STATUS_NORMAL_CLOSE,
            1006 => 0,
            default => $code,
        };
        try {
            $this->call('close', $number, $status);
        } finally {
            if (--$this->wsClientIPCount[$ip] === 0) {
                unset($this->wsClientIPCount[$ip]);
            }
            $this->wsClientCount--;
            unset($this->numbers[$connection->id], $this->wsRead[$number], $this->wsClients[$number]);
        }
    }

    private function call(string $event, mixed ...$arguments): void
    {
        foreach ($this->wsOnEvents[$event] ?? [] as $function) {
            $function(...$arguments);
        }
    }
}
