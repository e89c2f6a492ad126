<?php
// Family "application": $server = new \WebSocket\Server($host, $port), $server->registerApplication('chat', …),
// $server->run(). Required in the place of Server, Connection, Socket and Application, and before a class loader that
// would find them; your own applications, and StatusApplication where it is registered, are loaded as before. The
// names are those of both generations, \WebSocket and \Bloatless\WebSocket.

declare(strict_types=1);

require_once __DIR__ . '/../autoload.php';

WsEngine\Compat\Names::declare('Compat/application.php', [
    'WebSocket\Connection' => WsEngine\Compat\Application\Connection::class,
    'WebSocket\Application\ApplicationInterface' => WsEngine\Compat\Application\ApplicationInterface::class,
    'WebSocket\Application\Application' => WsEngine\Compat\Application\Application::class,
    'WebSocket\Server' => WsEngine\Compat\Application\Server::class,
    'Bloatless\WebSocket\Connection' => WsEngine\Compat\Application\Connection::class,
    'Bloatless\WebSocket\Application\ApplicationInterface' => WsEngine\Compat\Application\ApplicationInterface::class,
    'Bloatless\WebSocket\Application\Application' => WsEngine\Compat\Application\StrictApplication::class,
    'Bloatless\WebSocket\Server' => WsEngine\Compat\Application\LoggingServer::class,
]);
