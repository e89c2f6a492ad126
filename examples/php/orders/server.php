#!/usr/bin/env php
<?php
// Tells every open page of each order. It knows nothing of orders: the page that saves one pushes it
// here, by push_listen, and the engine passes it on to the topic that this script has put all into.
//
//   php -q -d extension=/path/to/libwsengine_php.so server.php 127.0.0.1 8080 /tmp/orders.sock
//
// public/index.php is the page, for any web server with PHP: `make orders` runs it by `php -S`.

declare(strict_types=1);

$address = $argv[1] ?? '127.0.0.1';
$port = $argv[2] ?? '8080';
$push = $argv[3] ?? sys_get_temp_dir() . '/wsengine-orders.sock';
if ($argc > 4 || $address === '' || !ctype_digit($port) || (int) $port > 65535 || !str_starts_with($push, '/')) {
    fwrite(STDERR, "usage: php -q server.php [ADDRESS PORT [SOCKET]]   (default: 127.0.0.1 8080 $push; ADDRESS 0 means all)\n");
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
        'app' => 'shop',
        'push_listen' => "unix:$push",
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

echo "listening on $started->address\npushes at $push\n";

while (true) {
    foreach (ws_poll_events() as $event) {
        if ($event->type === WsEngine\Event::OPEN) {
            ws_subscribe($event->conn, 'orders');
        } elseif ($event->type === WsEngine\Event::STOPPED) {
            exit("bye\n");
        }
    }
}
