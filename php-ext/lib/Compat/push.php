<?php
// Family "push": new Server($address, $port, $verboseMode) and run(), with a forked child for each client that pushes.
// Required in the place of Server.class.php and Client.class.php, or of the classes in PushWebSocket.

declare(strict_types=1);

require_once __DIR__ . '/../autoload.php';

WsEngine\Compat\Names::declare('Compat/push.php', [
    'Server' => WsEngine\Compat\Push\Server::class,
    'Client' => WsEngine\Compat\Push\Client::class,
    'PushWebSocket\Server' => WsEngine\Compat\Push\Server::class,
    'PushWebSocket\Client' => WsEngine\Compat\Push\Client::class,
]);
