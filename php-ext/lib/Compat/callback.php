<?php
// Family "callback": new WebSocketServer($address, $port, 'process') and process($user, $msg, $server).
// Required in the place of WebSocketServer.php.

declare(strict_types=1);

require_once __DIR__ . '/../autoload.php';

WsEngine\Compat\Names::declare('Compat/callback.php', [
    'WebSocketServer' => WsEngine\Compat\Callback\Server::class,
    'WebSocketUser' => WsEngine\Compat\Callback\User::class,
]);
