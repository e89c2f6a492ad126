<?php
// Family "subclass": class ChatBot extends WebSocket with process($user, $msg), and new ChatBot('localhost', 12345).
// Required in the place of websocket.class.php.

declare(strict_types=1);

require_once __DIR__ . '/../autoload.php';

WsEngine\Compat\Names::declare('Compat/subclass.php', [
    'WebSocket' => WsEngine\Compat\Subclass\Server::class,
    'User' => WsEngine\Compat\Subclass\User::class,
]);
