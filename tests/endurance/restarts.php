<?php
// Starts and stops a server a thousand times, with a client each time, and says what the process holds.
declare(strict_types=1);

/** Resident memory in KiB, descriptors, threads. */
function holds(): string
{
    preg_match('/^VmRSS:\s+(\d+) kB/m', file_get_contents('/proc/self/status'), $found);
    return $found[1] . ' ' . count(scandir('/proc/self/fd')) . ' ' . count(scandir('/proc/self/task'));
}

const HANDSHAKE = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    . "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

for ($round = 1; $round <= 1000; $round++) {
    $address = ws_server_start('127.0.0.1:0')->address;
    $client = stream_socket_client("tcp://$address");
    fwrite($client, HANDSHAKE);
    $conn = ws_poll_event(5.0)->conn;
    ws_send($conn, "round $round");
    ws_server_stop(0);
    while (ws_poll_events() !== []);
    fclose($client);
    if ($round === 100 || $round === 1000) {
        // What the server holds is given back by the next start, or the end of the script.
        echo holds(), "\n";
    }
}
