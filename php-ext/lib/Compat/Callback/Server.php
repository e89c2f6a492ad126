<?php
declare(strict_types=1);

namespace WsEngine\Compat\Callback;

use WsEngine\Compat\Listening;
use WsEngine\Compat\Script;
use WsEngine\Compat\Socket;
use WsEngine\Compat\Users;
use WsEngine\Connection;

/**
 * WebSocketServer: every message is given to one callback, with the user and the server. The methods that say who
 * comes and goes may be overridden.
 */
class Server
{
    use Users;

    protected $address = null;
    protected $port = null;
    /** @var list<User> */
    protected $users = [];
    protected $master = null;
    /** @var list<Socket> the first is the master */
    protected $sockets = [];
    protected $callback = null;

    /** @param callable(User, string, self): mixed $callback may be defined later */
    public function __construct($address, $port, $callback)
    {
        $this->address = $address;
        $this->port = $port;
        $this->callback = $callback;
        $this->connectMaster();
    }

    /** Everybody who is connected. */
    public function getUsers()
    {
        return $this->users;
    }

    /** Serves until a signal. */
    public function run()
    {
        $this->engine->on('open', function (Connection $connection): void {
            $this->connect($this->socketFor($connection));
        });
        $this->engine->on('message', function (Connection $connection, string $data): void {
            $user = $this->userAt($connection);
            if ($user !== null && $this->callback) {
                $user->lastAction = \time();
                // Not call_user_func(): a callback may take its arguments by reference.
                $callback = $this->callback;
                $server = $this;
                $callback($user, $data, $server);
            }
        });
        $this->engine->on('close', function (Connection $connection): void {
            if ($this->userAt($connection) !== null) {
                $this->disconnect($this->socketFor($connection));
            }
        });
        Script::run($this->engine);
    }

    /** Somebody has come. */
    public function connect($socket)
    {
        $user = new User($socket);
        $user->handshake = true;
        $this->takeIn($user);
    }

    /** Somebody has gone, or shall go. */
    public function disconnect($socket)
    {
        $this->takeOut($socket)?->socket->close();
    }

    /** Null: there is none. */
    public function getUserBySocket($socket)
    {
        return $this->userOf($socket);
    }

    /** False: the client has gone, or its send queue is full. */
    public function send($client, $msg)
    {
        return Socket::of($client)?->send($msg) ?? false;
    }

    protected function connectMaster()
    {
        $this->engine = Script::listen(Listening::options($this->address, $this->port));
        $this->master = new Socket(0);
        $this->sockets = [$this->master];
        return $this->master;
    }
}
