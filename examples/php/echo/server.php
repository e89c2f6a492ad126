#!/usr/bin/env php
<?php
// Sends every message back as it came, text as text and binary as binary. For benchmarks and the
// Autobahn test suite: hence the wide limits, which no public server should copy.
//
//   php -q -d extension=/path/to/libwsengine_php.so server.php 127.0.0.1 9001 1
//   php -q -d extension=... server.php 127.0.0.1 9001 io_threads=1 log_level=debug

declare(strict_types=1);

use WsEngine\Event;

$port = $argv[2] ?? '';
if ($argc < 3 || $argv[1] === '' || !ctype_digit($port) || (int) $port > 65535) {
    fwrite(STDERR, "usage: php -q server.php ADDRESS PORT [IO_THREADS] [OPTION=VALUE ...]\n"
        . "ADDRESS 0 means all, PORT 0 picks one; docs/options.md lists the options\n");
    exit(1);
}
if (!function_exists('ws_server_start')) {
    fwrite(STDERR, "The wsengine extension is not loaded: add -d extension=/path/to/libwsengine_php.so\n");
    exit(1);
}

$address = $argv[1] === '0' ? '0.0.0.0' : $argv[1];
$host = str_contains($address, ':') ? "[$address]" : $address;
$options = [
    'listen' => "$host:$port",
    'max_message_bytes' => 16 << 20,
    'max_fragments' => 100_000, // Autobahn cuts 4 MiB into pieces of 64 bytes
    'max_control_frames_per_s' => 100_000,
    'send_queue_bytes' => 64 << 20,
    'send_queue_messages' => 65_536,
    'event_queue_bytes' => 256 << 20,
];
foreach (array_slice($argv, 3) as $argument) {
    // A number alone is IO_THREADS.
    [$name, $value] = str_contains($argument, '=') ? explode('=', $argument, 2) : ['io_threads', $argument];
    $options[$name] = $value;
}
try {
    $started = ws_server_start($options);
} catch (WsEngine\Exception $e) {
    fwrite(STDERR, $e->getMessage() . "\n");
    exit(1);
}
foreach ($started->addresses as $address) {
    fwrite(STDOUT, "listening on $address\n");
}

/** @var array<int, SplQueue<Event>> $kept by connection: what its full queue did not take, in order */
$kept = [];
while (true) {
    foreach (ws_poll_events(256) as $e) {
        if ($e->type === Event::MESSAGE) {
            // Behind a kept message no other may overtake.
            if (isset($kept[$e->conn]) || !ws_send($e->conn, $e->data, $e->binary)) {
                if (ws_is_open($e->conn)) {
                    ($kept[$e->conn] ??= new SplQueue())->enqueue($e);
                }
            }
        } elseif ($e->type === Event::DRAIN && isset($kept[$e->conn])) {
            $queue = $kept[$e->conn];
            while (!$queue->isEmpty() && ws_send($e->conn, $queue->bottom()->data, $queue->bottom()->binary)) {
                $queue->dequeue();
            }
            if ($queue->isEmpty()) {
                unset($kept[$e->conn]);
            }
        } elseif ($e->type === Event::CLOSE) {
            unset($kept[$e->conn]);
        }
    }
}
