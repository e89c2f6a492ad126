<?php
// Answers ten million messages and says what it weighs after each million.
declare(strict_types=1);

use WsEngine\Event;

const MILLION = 1_000_000;

/** Resident memory in KiB. */
function resident(): int
{
    preg_match('/^VmRSS:\s+(\d+) kB/m', file_get_contents('/proc/self/status'), $found);
    return (int) $found[1];
}

echo ws_server_start(['listen' => '127.0.0.1:0', 'io_threads' => 1])->address, "\n";
for ($answered = 0; $answered < 10 * MILLION;) {
    foreach (ws_poll_events() as $event) {
        if ($event->type === Event::MESSAGE) {
            ws_send($event->conn, $event->data, $event->binary);
            if (++$answered % MILLION === 0) {
                echo $answered / MILLION, ' ', resident(), "\n";
            }
        }
    }
}
