<?php
// Echoes, and sleeps for three seconds when told to.
declare(strict_types=1);

require dirname(__DIR__, 2) . '/php-ext/lib/autoload.php';

use WsEngine\Connection;
use WsEngine\Server;

$server = Server::listen('127.0.0.1:0');
$server->on('message', function (Connection $connection, string $message): void {
    if ($message === 'sleep') {
        sleep(3);
    }
    $connection->send($message);
});
echo $server->info->addresses[0], "\n";
$server->run();
