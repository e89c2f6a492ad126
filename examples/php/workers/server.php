#!/usr/bin/env php
<?php
// A wall: what one writes all see, whichever process they are connected to. Several processes of this script share the
// port (reuse_port), and Redis joins them (backplane): supervisor.php starts them.
//
//   REDIS=redis://127.0.0.1 php -q -d extension=/path/to/libwsengine_php.so server.php 127.0.0.1 8080
//
// The address of Redis may hold a password, so it is not an argument, which all users of the machine see.

declare(strict_types=1);

$port = $argv[2] ?? '';
$redis = (string) getenv('REDIS');
if ($argc !== 3 || $argv[1] === '' || !ctype_digit($port) || (int) $port > 65535 || $redis === '') {
    fwrite(STDERR, "usage: REDIS=redis://127.0.0.1 php -q server.php ADDRESS PORT   (such as 127.0.0.1 8080; ADDRESS 0 means all)\n");
    exit(1);
}
if (!function_exists('ws_server_start')) {
    fwrite(STDERR, "The wsengine extension is not loaded: add -d extension=/path/to/libwsengine_php.so\n");
    exit(1);
}

$address = $argv[1] === '0' ? '0.0.0.0' : $argv[1];
$host = str_contains($address, ':') ? "[$address]" : $address;
$worker = getenv('WORKER') ?: (string) getmypid();
try {
    $started = ws_server_start([
        'listen' => "$host:$port?reuse_port",
        'app' => 'wall',
        'backplane' => $redis,
        'static_root' => __DIR__ . '/public',
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

echo "worker $worker is listening on $started->address\n";

$told = fn (string $type, string $text): string
    => json_encode(['type' => $type, 'text' => $text, 'worker' => $worker], JSON_UNESCAPED_UNICODE | JSON_THROW_ON_ERROR);

while (true) {
    foreach (ws_poll_events() as $event) {
        switch ($event->type) {
            case WsEngine\Event::OPEN:
                ws_subscribe($event->conn, 'wall');
                ws_send($event->conn, $told('welcome', ''));
                break;
            case WsEngine\Event::MESSAGE:
                if (!$event->binary) {
                    ws_publish('wall', $told('said', $event->data));
                }
                break;
            case WsEngine\Event::BACKPLANE:
                echo "worker $worker: ", $event->code === 1 ? 'joined' : "alone, for $event->data", "\n";
                break;
            case WsEngine\Event::STOPPED:
                exit;
        }
    }
}
