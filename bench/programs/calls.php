<?php

// What a call of the extension costs, in nanoseconds: medians of rounds, the loop around it left out.
// php -q -d extension=libwsengine_php.so calls.php

declare(strict_types=1);

const CALLS = 1000;
const ROUNDS = 200;

$server = ws_server_start(['listen' => '127.0.0.1:0', 'io_threads' => 1]);
$client = stream_socket_client("tcp://{$server->address}");
fwrite($client, "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    . "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n");
while (trim((string) fgets($client)) !== '') {
}
$conn = ws_poll_event(5000)->conn;
$text = str_repeat('x', 64);
// Masked with zeros.
$frames = str_repeat("\x81\xc0\0\0\0\0{$text}", CALLS);

/** A message of 64 B of each call has to come, so that the queue is empty. */
$receive = function () use ($client): void {
    for ($left = CALLS * 66; $left > 0; $left -= strlen((string) fread($client, min($left, 1 << 16)))) {
    }
};

/** All messages of a round are there to be polled. */
$arrive = function () use ($client, $frames): void {
    // In parts: a client that says all at once sends much, and has to wait for those who do not.
    foreach (str_split($frames, intdiv(strlen($frames), 20)) as $part) {
        $before = ws_stats()['messages_in'];
        fwrite($client, $part);
        while (ws_stats()['messages_in'] < $before + CALLS / 20) {
            usleep(50);
        }
    }
};

/** The median of the time that a call takes, with what is done before and after each round. */
$measure = function (callable $round, ?callable $before = null, ?callable $after = null): float {
    $times = [];
    for ($i = 0; $i < ROUNDS; $i++) {
        $before && $before();
        $begin = hrtime(true);
        $round();
        $times[] = (hrtime(true) - $begin) / CALLS;
        $after && $after();
    }
    sort($times);

    return $times[ROUNDS / 2];
};

$loop = $measure(function (): void {
    for ($i = 0; $i < CALLS; $i++) {
    }
});

$costs = [
    'ws_poll_event(0), nothing there' => $measure(function (): void {
        for ($i = 0; $i < CALLS; $i++) {
            ws_poll_event(0);
        }
    }),
    'ws_send, 64 B' => $measure(function () use ($conn, $text): void {
        for ($i = 0; $i < CALLS; $i++) {
            ws_send($conn, $text);
        }
    }, after: $receive),
    'ws_broadcast, 64 B' => $measure(function () use ($text): void {
        for ($i = 0; $i < CALLS; $i++) {
            ws_broadcast($text);
        }
    }, after: $receive),
    'ws_is_open' => $measure(function () use ($conn): void {
        for ($i = 0; $i < CALLS; $i++) {
            ws_is_open($conn);
        }
    }),
    'an event of ws_poll_events, its data read' => $measure(function (): void {
        for ($taken = 0; $taken < CALLS;) {
            foreach (ws_poll_events() as $event) {
                $taken += strlen($event->data) > 0 ? 1 : 0;
            }
        }
    }, before: $arrive),
];

foreach ($costs as $what => $ns) {
    printf("%-45s %6.0f ns\n", $what, $ns - $loop);
}
