<?php
declare(strict_types=1);

namespace WsEngine\Compat\Subclass;

use WsEngine\Compat\Head;
use WsEngine\Compat\Listening;
use WsEngine\Compat\Script;
use WsEngine\Compat\Socket;
use WsEngine\Compat\Users;
use WsEngine\Connection;

/**
 * WebSocket: scripts extend it and override process(), and what else they like. The constructor serves; it returns
 * after a signal.
 */
#[\AllowDynamicProperties]
class Server
{
    use Users;

    public $master;
    /** @var list<Socket> the first is the master */
    public $sockets = [];
    /** @var list<User> */
    public $users = [];
    /** Does log() print? */
    public $debug = false;

    public function __construct($address, $port)
    {
        $this->engine = Script::listen(Listening::options($address, $port));
        $this->master = new Socket(0);
        $this->sockets[] = $this->master;
        $this->say('Server Started : ' . \date('Y-m-d H:i:s'));
        $this->say("Listening on   : $address port $port");
        $this->say("Master socket  : $this->master\n");
        $this->engine->on('open', function (Connection $connection): void {
            $this->connect($this->socketFor($connection));
            $user = $this->userAt($connection);
            if ($user !== null) {
                $this->dohandshake($user, Head::of($connection->request));
            }
        });
        $this->engine->on('message', function (Connection $connection, string $data): void {
            $user = $this->userAt($connection);
            if ($user !== null) {
                $this->process($user, $data);
            }
        });
        $this->engine->on('close', function (Connection $connection): void {
            if ($this->userAt($connection) !== null) {
                $this->disconnect($this->socketFor($connection));
            }
        });
        Script::run($this->engine);
    }

    /** A message has come. */
    public function process($user, $msg)
    {
        $this->send($user->socket, $msg);
    }

    /** False: the client has gone, or its send queue is full. */
    public function send($client, $msg)
    {
        $this->say("> $msg");
        return Socket::of($client)?->send($msg) ?? false;
    }

    /** Somebody has come. */
    public function connect($socket)
    {
        $user = new User();
        $user->id = \uniqid();
        $user->socket = $socket;
        $this->takeIn($user);
        $this->log("$socket CONNECTED!");
    }

    /** Somebody has gone, or shall go. */
    public function disconnect($socket)
    {
        $user = $this->takeOut($socket);
        if ($user === null) {
            return;
        }
        $user->socket->close();
        $this->log("$user->socket DISCONNECTED!");
    }

    /**
     * Is called after connect(); from now on the user gets what is sent.
     *
     * @param string $buffer the head of the request
     */
    public function dohandshake($user, $buffer)
    {
        $user->handshake = true;
        return true;
    }

    /** Null: there is none. */
    public function getuserbysocket($socket)
    {
        return $this->userOf($socket);
    }

    /**
     * @param string $req the head of a request
     * @return array{?string, ?string, ?string} the resource, the host, the origin
     */
    public function getheaders($req)
    {
        $line = static fn (string $pattern): ?string => \preg_match($pattern, $req, $found) ? $found[1] : null;
        return [$line('/^GET (\S*) HTTP/'), $line("/^Host: (.*)\r$/im"), $line("/^Origin: (.*)\r$/im")];
    }

    public function say($msg = '')
    {
        echo $msg, "\n";
    }

    public function log($msg = '')
    {
        if ($this->debug) {
            echo $msg, "\n";
        }
    }

    /** Messages come and go without frames: nothing is done. */
    public function wrap($msg = '')
    {
        return $msg;
    }

    /** As wrap(). */
    public function unwrap($msg = '')
    {
        return $msg;
    }
}
