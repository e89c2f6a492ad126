#!/usr/bin/env php
<?php
// The push server. Every client hears from the server on its own, every 2 to 5 seconds, until it says
// "quit" or goes away. This file reads the command line and starts the engine, PushServer.php pushes.
//
//   php -q -d extension=/path/to/libwsengine_php.so server.php 127.0.0.1 8080 10

declare(strict_types=1);

require __DIR__ . '/PushServer.php';

$address = $argv[1] ?? '127.0.0.1';
$port = $argv[2] ?? '8080';
$maxClients = $argv[3] ?? '10';
$numbers = ctype_digit($port) && (int) $port <= 65535 && ctype_digit($maxClients) && (int) $maxClients > 0;
if (!in_array($argc, [1, 3, 4], true) || $address === '' || !$numbers) {
    fwrite(STDERR, "usage: php -q server.php [ADDRESS PORT [MAX_CLIENTS]]   (default: 127.0.0.1 8080 10; ADDRESS 0 means all)\n");
    exit(1);
}
if (!function_exists('ws_server_start')) {
    fwrite(STDERR, "The wsengine extension is not loaded: add -d extension=/path/to/libwsengine_php.so\n");
    exit(1);
}

$address = $address === '0' ? '0.0.0.0' : $address;
$host = str_contains($address, ':') ? "[$address]" : $address;
try {
    $started = ws_server_start([
        'listen' => "$host:$port",
        'static_root' => __DIR__ . '/public',
        'max_connections' => (int) $maxClients,
        'max_message_bytes' => 1024,
    ]);
} catch (WsEngine\Exception $e) {
    fwrite(STDERR, $e->getMessage() . "\n");
    exit(1);
}

if (function_exists('pcntl_async_signals')) {
    pcntl_async_signals(true);
    foreach ([SIGINT, SIGTERM] as $signal) {
        pcntl_signal($signal, fn () => ws_server_stop(0.5));
    }
}

// A browser cannot open the address that stands for all.
$host = ['0.0.0.0' => '127.0.0.1', '[::]' => '[::1]'][$host] ?? $host;
echo 'Server started : ', date('Y-m-d H:i:s'), ", for $maxClients clients\n";
echo "Open           : http://$host:$started->port/\n";
echo "                 CTRL-C to quit\n\n";

(new PushServer())->run();
echo "bye\n";
