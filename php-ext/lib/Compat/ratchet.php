<?php
// Family "ratchet": IoServer::factory(new HttpServer(new WsServer(new Chat())), 8080)->run(), and Ratchet\App.
// Required after Composer's autoload.php if there is one; where Ratchet is not installed it declares its interfaces.

declare(strict_types=1);

use WsEngine\Compat\Names;
use WsEngine\Compat\Ratchet;

require_once __DIR__ . '/../autoload.php';

(static function (): void {
    // Interfaces that are installed are the ones that components have been written for.
    $missing = static fn (string $name): bool => !interface_exists($name) && !class_exists($name);
    foreach ([
        'Ratchet\ConnectionInterface' => Ratchet\ConnectionInterface::class,
        'Ratchet\ComponentInterface' => Ratchet\ComponentInterface::class,
        'Ratchet\MessageInterface' => Ratchet\MessageInterface::class,
        'Ratchet\MessageComponentInterface' => Ratchet\MessageComponentInterface::class,
        'Ratchet\RFC6455\Messaging\MessageInterface' => Ratchet\FrameInterface::class,
        'Ratchet\RFC6455\Messaging\Frame' => Ratchet\Frame::class,
        'Ratchet\WebSocket\MessageComponentInterface' => Ratchet\FrameComponentInterface::class,
        'Ratchet\WebSocket\WsServerInterface' => Ratchet\WsServerInterface::class,
    ] as $name => $ours) {
        if ($missing($name)) {
            Names::declare('Compat/ratchet.php', [$name => $ours]);
        }
    }
    Names::declare('Compat/ratchet.php', [
        'Ratchet\App' => Ratchet\App::class,
        'Ratchet\Http\HttpServer' => Ratchet\HttpServer::class,
        'Ratchet\Http\OriginCheck' => Ratchet\OriginCheck::class,
        'Ratchet\Server\EchoServer' => Ratchet\EchoServer::class,
        'Ratchet\Server\IoServer' => Ratchet\IoServer::class,
        'Ratchet\WebSocket\WsServer' => Ratchet\WsServer::class,
    ]);
})();
