<?php
// A host for the tests of proxies: peer.php [OPTION=VALUE ...] It answers "who" by what the open event said
// of the client, closes on "close CODE REASON", sends all else back, and prints how each connection ended.

declare(strict_types=1);

use WsEngine\Event;

$options = [];
foreach (array_slice($argv, 1) as $argument) {
    [$name, $value] = explode('=', $argument, 2);
    $options[$name] = $value;
}
foreach (ws_server_start($options)->addresses as $address) {
    echo "listening on $address\n";
}

$opened = [];
while (true) {
    foreach (ws_poll_events() as $e) {
        if ($e->type === Event::OPEN) {
            $opened[$e->conn] = $e->request;
        } elseif ($e->type === Event::MESSAGE && $e->data === 'who') {
            ws_send($e->conn, json_encode($opened[$e->conn], JSON_THROW_ON_ERROR));
        } elseif ($e->type === Event::MESSAGE && preg_match('/^close (\d+) (.*)$/', $e->data, $wanted)) {
            ws_close($e->conn, (int) $wanted[1], $wanted[2]);
        } elseif ($e->type === Event::MESSAGE) {
            ws_send($e->conn, $e->data, $e->binary);
        } elseif ($e->type === Event::CLOSE) {
            unset($opened[$e->conn]);
            echo "closed $e->code ", $e->clean ? 'clean' : 'cut', " $e->data\n";
        }
    }
}
