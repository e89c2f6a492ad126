#!/usr/bin/env php
<?php
// A chat in the style of Workerman: callbacks set on a worker, users as properties of their connections. ?name=Ada in
// the address says who you are.
//   php -q -d extension=wsengine.so -d wsengine.static_root=../page server.php 127.0.0.1 8080
// Then open http://127.0.0.1:8080/ in two windows.

use Workerman\Timer;
use Workerman\Worker;

require __DIR__ . '/../../../../php-ext/lib/Compat/workerman.php';

$address = isset($argv[1]) ? $argv[1] : '127.0.0.1';
$port = isset($argv[2]) ? $argv[2] : 8080;
$worker = new Worker("websocket://$address:$port");
$worker->name = 'chat';
$worker->count = 1;

function toAll($worker, $text)
{
    foreach ($worker->connections as $connection) {
        $connection->send($text);
    }
}

$worker->onWorkerStart = function ($worker) {
    Timer::add(600, function () use ($worker) {
        toAll($worker, 'It is ' . date('H:i') . '.');
    });
};

$worker->onConnect = function ($connection) {
    $connection->onWebSocketConnect = function ($connection) {
        $connection->name = isset($_GET['name']) ? $_GET['name'] : "guest $connection->id";
        Worker::log("$connection->name came from " . $connection->getRemoteIp());
        toAll($connection->worker, "$connection->name has come in.");
    };
};

$worker->onMessage = function ($connection, $data) use ($worker) {
    if ($data === 'quit') {
        $connection->close('Bye.');
        return;
    }
    toAll($worker, "$connection->name: $data");
};

$worker->onClose = function ($connection) use ($worker) {
    unset($worker->connections[$connection->id]);
    toAll($worker, "$connection->name has left.");
};

Worker::runAll();
echo "bye\n";
