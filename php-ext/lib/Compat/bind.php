<?php
// Family "bind": $Server = new PHPWebSocket(), $Server->bind('message', …), $Server->wsStartServer($host, $port).
// Required in the place of class.PHPWebSocket.php.

declare(strict_types=1);

require_once __DIR__ . '/../autoload.php';

WsEngine\Compat\Names::declare('Compat/bind.php', ['PHPWebSocket' => WsEngine\Compat\Bind\PHPWebSocket::class]);
