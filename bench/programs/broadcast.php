<?php

// Passes every message on to all connections and does nothing else: what a broadcast costs.
// php -q -d extension=libwsengine_php.so broadcast.php ADDRESS PORT IO_THREADS

declare(strict_types=1);

[, $address, $port, $threads] = $argv;
$server = ws_server_start(['listen' => "$address:$port", 'io_threads' => (int) $threads]);
echo "listening on {$server->address}\n";

while (true) {
    foreach (ws_poll_events() as $event) {
        if ($event->type === WsEngine\Event::MESSAGE) {
            ws_broadcast($event->data, $event->binary);
        }
    }
}
