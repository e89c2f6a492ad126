#!/usr/bin/env php
<?php
// A chat and an echo in the style of php-websocket: applications, between which the path chooses. Connect to /chat or
// to /echo.
//   php -q -d extension=wsengine.so -d wsengine.static_root=../page server.php 127.0.0.1 8080
// Then open http://127.0.0.1:8080/ in two windows.

require __DIR__ . '/../../../../php-ext/lib/Compat/application.php';

class ChatApplication extends \WebSocket\Application\Application
{
    private $clients = array();
    private $names = array();

    public function onConnect($client)
    {
        $id = $client->getClientId();
        $this->clients[$id] = $client;
        $client->send('What is your name?');
    }

    public function onData($data, $client)
    {
        $id = $client->getClientId();
        if (isset($this->names[$id])) {
            $this->toAll($this->names[$id] . ': ' . $data);
            return;
        }
        $this->names[$id] = $data;
        $client->log("is $data");
        $this->toAll("$data has come in, " . count($this->names) . ' are here.');
    }

    public function onDisconnect($client)
    {
        $id = $client->getClientId();
        unset($this->clients[$id]);
        if (isset($this->names[$id])) {
            $name = $this->names[$id];
            unset($this->names[$id]);
            $this->toAll("$name has left.");
        }
    }

    private function toAll($text)
    {
        foreach ($this->clients as $id => $client) {
            if (isset($this->names[$id])) {
                $client->send($text);
            }
        }
    }
}

class EchoApplication extends \WebSocket\Application\Application
{
    public function onData($data, $client)
    {
        $client->send($data);
    }
}

$server = new \WebSocket\Server(isset($argv[1]) ? $argv[1] : '127.0.0.1', isset($argv[2]) ? $argv[2] : 8080);

$server->setMaxClients(100);
$server->setMaxConnectionsPerIp(100);
$server->setMaxRequestsPerMinute(2000);
$server->setCheckOrigin(false);

$server->registerApplication('chat', ChatApplication::getInstance());
$server->registerApplication('echo', EchoApplication::getInstance());
$server->run();
echo "bye\n";
