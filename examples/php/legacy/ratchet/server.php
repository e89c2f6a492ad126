#!/usr/bin/env php
<?php
// A chat in the style of Ratchet: a component, and servers around it. ?name=Ada in the address says who you are.
//   php -q -d extension=wsengine.so -d wsengine.static_root=../page server.php 127.0.0.1 8080
// Then open http://127.0.0.1:8080/ in two windows.

use Ratchet\ConnectionInterface;
use Ratchet\Http\HttpServer;
use Ratchet\MessageComponentInterface;
use Ratchet\Server\IoServer;
use Ratchet\WebSocket\WsServer;

require __DIR__ . '/../../../../php-ext/lib/Compat/ratchet.php';

class Chat implements MessageComponentInterface
{
    protected $clients;

    public function __construct()
    {
        $this->clients = new \SplObjectStorage;
    }

    public function onOpen(ConnectionInterface $conn)
    {
        parse_str($conn->httpRequest->getUri()->getQuery(), $query);
        $conn->name = isset($query['name']) ? $query['name'] : "guest $conn->resourceId";
        $this->clients->attach($conn);
        echo "$conn->name came from $conn->remoteAddress\n";
        $conn->send("You are $conn->name.");
        $this->toOthers($conn, "$conn->name has come in.");
    }

    public function onMessage(ConnectionInterface $from, $msg)
    {
        $from->send("You: $msg");
        $this->toOthers($from, "$from->name: $msg");
    }

    public function onClose(ConnectionInterface $conn)
    {
        $this->clients->detach($conn);
        $this->toOthers($conn, "$conn->name has left.");
    }

    public function onError(ConnectionInterface $conn, \Exception $e)
    {
        echo "error: {$e->getMessage()}\n";
        $conn->close();
    }

    public function tellTime()
    {
        foreach ($this->clients as $client) {
            $client->send('It is ' . date('H:i') . '.');
        }
    }

    private function toOthers($conn, $text)
    {
        foreach ($this->clients as $client) {
            if ($client !== $conn) {
                $client->send($text);
            }
        }
    }
}

$chat = new Chat;
$server = IoServer::factory(
    new HttpServer(new WsServer($chat)),
    isset($argv[2]) ? $argv[2] : 8080,
    isset($argv[1]) ? $argv[1] : '127.0.0.1'
);
$server->loop->addPeriodicTimer(600, array($chat, 'tellTime'));
$server->run();
echo "bye\n";
