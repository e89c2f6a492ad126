<?php
declare(strict_types=1);

namespace WsEngine\Compat\Abstract;

use WsEngine\Compat\Head;
use WsEngine\Compat\Listening;
use WsEngine\Compat\Script;
use WsEngine\Compat\Socket;
use WsEngine\Compat\Users;
use WsEngine\Connection;
use WsEngine\Handshake;
use WsEngine\Request;

/**
 * WebSocketServer: scripts extend it. For each user connecting() comes first, then connected(), then process() for
 * each message, then closed().
 */
#[\AllowDynamicProperties]
abstract class Server
{
    use Users;
    use Door;

    /** The engine's own limit; a larger $bufferLength raises it. */
    private const MESSAGE_BYTES = 1_048_576;

    /** What users are. It extends WebSocketUser, or has its constructor. */
    protected $userClass = 'WebSocketUser';
    protected $maxBufferSize;
    protected $master;
    protected $listenAddress;
    protected $listenPort;
    /** @var array<string, Socket> by the id of the user, and the master */
    protected $sockets = [];
    /** @var array<string, User> by id */
    protected $users = [];
    /** Do stdout() and stderr() print? */
    protected $interactive = true;
    /** @var \WeakMap<object, list<mixed>> what was sent to users that are not connected yet */
    private \WeakMap $held;

    public function __construct($addr, $port, $bufferLength = 2048)
    {
        $this->held = new \WeakMap();
        $this->maxBufferSize = $bufferLength;
        $this->listenAddress = $addr;
        $this->listenPort = $port;
        $wanted = [];
        if ((int) $bufferLength > self::MESSAGE_BYTES) {
            $wanted['max_message_bytes'] = (int) $bufferLength;
        }
        if ($this->headerOriginRequired) {
            // The script judges origins itself.
            $wanted['origins'] = 'any';
        }
        $options = Listening::options($addr, $port, $wanted);
        $this->engine = Script::listen(['handshake_events' => $this->hasSayBefore()] + $options);
        $this->master = new Socket(0);
        $this->sockets['m'] = $this->master;
        $this->stdout("Server started\nListening on: $addr:$port\nMaster socket: $this->master");
    }

    abstract protected function process($user, $message);

    abstract protected function connected($user);

    /** The user is out of $users. */
    abstract protected function closed($user);

    /** Serves until a signal. */
    public function run()
    {
        $this->engine->on('handshake', fn (Handshake $handshake) => $this->decide($handshake));
        $this->engine->on('open', function (Connection $connection): void {
            $socket = $this->socketFor($connection);
            $user = $this->userAt($connection) ?? $this->begin($socket, $connection->request);
            unset($this->expected[$socket->id]);
            if ($user === null) {
                return;
            }
            $user->handshake = Head::of($connection->request);
            try {
                $this->connected($user);
            } finally {
                foreach ($this->held[$user] ?? [] as $message) {
                    $this->send($user, $message);
                }
                unset($this->held[$user]);
            }
        });
        $this->engine->on('message', function (Connection $connection, string $data): void {
            $user = $this->userAt($connection);
            if ($user !== null) {
                $this->process($user, $data);
            }
        });
        $this->engine->on('close', function (Connection $connection, int $code, string $reason, bool $clean): void {
            $user = $this->userAt($connection);
            if ($user === null) {
                return;
            }
            $user->hasSentClose = $clean;
            if (!$clean) {
                $this->stderr("Client disconnected. TCP connection lost: $user->socket");
            }
            $this->disconnect($user->socket);
        });
        $this->engine->after(0, fn () => $this->tick());
        $this->engine->every(1, fn () => $this->tick());
        Script::run($this->engine);
    }

    /** Somebody comes who is not connected yet. */
    protected function connecting($user)
    {
    }

    /** Comes once a second. */
    protected function tick()
    {
    }

    /** A message for a user who is not connected yet is sent after connected(). False: it cannot be sent. */
    protected function send($user, $message)
    {
        if ($user->handshake) {
            return Socket::of($user)?->send($message) ?? false;
        }
        $this->held[$user] = [...$this->held[$user] ?? [], $message];
        return true;
    }

    protected function connect($socket)
    {
        $user = new $this->userClass(\uniqid('u'), $socket);
        $this->takeIn($user, $user->id);
        $this->connecting($user);
    }

    /**
     * Somebody has gone, or shall go.
     *
     * @param bool $triggerClosed shall closed() be called?
     */
    protected function disconnect($socket, $triggerClosed = true, $sockErrNo = null)
    {
        $user = $this->takeOut($socket);
        if ($user === null) {
            return;
        }
        if ($triggerClosed) {
            $this->stdout("Client disconnected. $user->socket");
        }
        try {
            if ($triggerClosed) {
                $this->closed($user);
            }
        } finally {
            $user->socket->close();
        }
    }

    /** Null: there is none. */
    protected function getUserBySocket($socket)
    {
        return $this->userOf($socket);
    }

    public function stdout($message)
    {
        if ($this->interactive) {
            echo "$message\n";
        }
    }

    public function stderr($message)
    {
        if ($this->interactive) {
            echo "$message\n";
        }
    }

    /** Null: the script has disconnected the user at once. */
    private function begin(Socket $socket, Request $request): ?object
    {
        $this->connect($socket);
        $user = $this->userOf($socket);
        if ($user === null) {
            return null;
        }
        $this->stdout("Client connected. $socket");
        $user->requestedResource = Head::resource($request);
        $user->headers = ['get' => $user->requestedResource] + $request->headers;
        return $user;
    }
}
