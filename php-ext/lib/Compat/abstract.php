<?php
// Family "abstract": class EchoServer extends WebSocketServer with process(), connected() and closed(), new
// EchoServer($address, $port), run(). Required in the place of websockets.php and users.php.

declare(strict_types=1);

require_once __DIR__ . '/../autoload.php';

WsEngine\Compat\Names::declare('Compat/abstract.php', [
    'WebSocketServer' => WsEngine\Compat\Abstract\Server::class,
    'WebSocketUser' => WsEngine\Compat\Abstract\User::class,
]);
