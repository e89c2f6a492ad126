#!/usr/bin/env php
<?php
// The ticker: prices as topics, and a page that picks some of them. It stands on the classes of php-ext/lib. This file
// reads the command line and starts the engine, Ticker.php has the prices.
//
//   php -q -d extension=/path/to/libwsengine_php.so server.php 127.0.0.1 8080

declare(strict_types=1);

// In the project, or where it was installed.
$library = __DIR__ . '/../../../php-ext/lib/autoload.php';
require is_file($library) ? $library : 'WsEngine/autoload.php';
require __DIR__ . '/Ticker.php';

$address = $argv[1] ?? '127.0.0.1';
$port = $argv[2] ?? '8080';
if (!in_array($argc, [1, 3], true) || $address === '' || !ctype_digit($port) || (int) $port > 65535) {
    fwrite(STDERR, "usage: php -q server.php [ADDRESS PORT]   (default: 127.0.0.1 8080; ADDRESS 0 means all)\n");
    exit(1);
}

$address = $address === '0' ? '0.0.0.0' : $address;
$host = str_contains($address, ':') ? "[$address]" : $address;
try {
    $server = WsEngine\Server::listen([
        'listen' => "$host:$port",
        'static_root' => __DIR__ . '/public',
        'max_message_bytes' => 1024,
    ]);
} catch (WsEngine\Exception | LogicException $e) {
    fwrite(STDERR, $e->getMessage() . "\n");
    exit(1);
}

if (function_exists('pcntl_async_signals')) {
    pcntl_async_signals(true);
    foreach ([SIGINT, SIGTERM] as $signal) {
        pcntl_signal($signal, fn () => $server->stop(0.5));
    }
}

// A browser cannot open the address that stands for all.
$host = ['0.0.0.0' => '127.0.0.1', '[::]' => '[::1]'][$host] ?? $host;
echo 'Server started : ', date('Y-m-d H:i:s'), "\n";
echo "Open           : http://$host:{$server->info->port}/\n";
echo "                 CTRL-C to quit\n\n";

new Ticker($server);
$server->run();
echo "bye\n";
