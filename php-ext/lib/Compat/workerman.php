<?php
// Family "workerman": $worker = new Worker('websocket://0.0.0.0:2346'), $worker->onMessage = …, Worker::runAll().
// Required in the place of Workerman's Autoloader.php; with Composer, after its autoload.php.

declare(strict_types=1);

require_once __DIR__ . '/../autoload.php';

WsEngine\Compat\Names::declare('Compat/workerman.php', [
    'Workerman\Connection\ConnectionInterface' => WsEngine\Compat\Workerman\ConnectionInterface::class,
    'Workerman\Connection\TcpConnection' => WsEngine\Compat\Workerman\TcpConnection::class,
    'Workerman\Lib\Timer' => WsEngine\Compat\Workerman\Timer::class,
    'Workerman\Protocols\Http\Request' => WsEngine\Compat\Workerman\Request::class,
    'Workerman\Protocols\Websocket' => WsEngine\Compat\Workerman\Websocket::class,
    'Workerman\Timer' => WsEngine\Compat\Workerman\Timer::class,
    'Workerman\Worker' => WsEngine\Compat\Workerman\Worker::class,
]);

defined('WORKERMAN_CONNECT_FAIL') || define('WORKERMAN_CONNECT_FAIL', 1);
defined('WORKERMAN_SEND_FAIL') || define('WORKERMAN_SEND_FAIL', 2);
