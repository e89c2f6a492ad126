#!/usr/bin/env php
<?php
// A chat for those who may come in. The engine asks this script about every client before there is a connection
// (option handshake_events); Door.php decides by the client's token. The guest may read, and not write.
//
//   php -q -d extension=/path/to/libwsengine_php.so server.php 127.0.0.1 8080
//
// It prints a link for each user. The page keeps the token of its link as a cookie, which the browser sends by
// itself from then on. But a browser sends it whichever page connects, another site's as well: that one would
// speak in the user's name. Two things keep it out, and both should stay. The option "origins" is left at
// "same-host", so the engine refuses pages of other hosts before this script is asked; and the cookie is
// SameSite=Strict. A token in a header or a query needs neither, for no other site knows it.
//
// A message from a browser is text as it is. To a browser go JSON objects: {"type":"welcome","name":…,
// "mayWrite":…}, {"type":"here","users":[…]}, {"type":"said","name":…,"text":…,"time":…}, and
// {"type":"error","text":…} to the one who made the mistake.

declare(strict_types=1);

use WsEngine\Event;

require __DIR__ . '/Door.php';

/** Who there is, and who may write. */
const USERS = ['ada' => true, 'grace' => true, 'guest' => false];
const TEXT_LENGTH = 500;
const FITTING_TEXT = '/^.{1,' . TEXT_LENGTH . '}$/usD';

/** @param array<int, string> $here names by connection; one user may have several */
function handle(Event $event, Door $door, array &$here): void
{
    switch ($event->type) {
        case Event::HANDSHAKE:
            say("{$event->request->peer}: {$door->decide($event)}");
            break;
        case Event::OPEN:
            $name = $here[$event->conn] = $door->userOf($event->request);
            ws_send($event->conn, encode(['type' => 'welcome', 'name' => $name, 'mayWrite' => USERS[$name]]));
            tellWhoIsHere($here);
            break;
        case Event::MESSAGE:
            receive($event->conn, $here[$event->conn], trim($event->data));
            break;
        case Event::CLOSE:
            say("{$here[$event->conn]} left with code $event->code");
            unset($here[$event->conn]);
            tellWhoIsHere($here);
            break;
        case Event::ERROR:
            say("error: $event->data");
            break;
    }
}

/** What may be done is decided here and not in the page, which anybody can change. */
function receive(int $conn, string $name, string $text): void
{
    $error = match (true) {
        !USERS[$name] => "You may read here, $name, and not write.",
        preg_match(FITTING_TEXT, $text) !== 1 => 'A message has 1 to ' . TEXT_LENGTH . ' characters.',
        default => null,
    };
    if ($error !== null) {
        ws_send($conn, encode(['type' => 'error', 'text' => $error]));
        return;
    }
    $time = (int) (microtime(true) * 1000);
    ws_broadcast(encode(['type' => 'said', 'name' => $name, 'text' => $text, 'time' => $time]));
}

function tellWhoIsHere(array $here): void
{
    ws_broadcast(encode(['type' => 'here', 'users' => array_values(array_unique($here))]));
}

function encode(array $message): string
{
    return json_encode($message, JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES | JSON_THROW_ON_ERROR);
}

function say(string $line): void
{
    echo date('H:i:s '), preg_replace('/\p{Cc}/u', '?', $line), "\n";
}

$address = $argv[1] ?? '127.0.0.1';
$port = $argv[2] ?? '8080';
if (!in_array($argc, [1, 3], true) || $address === '' || !ctype_digit($port) || (int) $port > 65535) {
    fwrite(STDERR, "usage: php -q server.php [ADDRESS PORT]   (default: 127.0.0.1 8080; ADDRESS 0 means all)\n");
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
        'handshake_events' => true,
        'max_message_bytes' => 4 * TEXT_LENGTH,
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

$door = new Door(array_keys(USERS));
// A browser cannot open the address that stands for all.
$host = ['0.0.0.0' => '127.0.0.1', '[::]' => '[::1]'][$host] ?? $host;
echo 'Server started : ', date('Y-m-d H:i:s'), "\n";
foreach (USERS as $name => $mayWrite) {
    printf("%-14s : http://%s:%d/?token=%s\n", $name, $host, $started->port, $door->tokenOf($name));
}
echo "                 Whoever has a link is that user. CTRL-C to quit\n\n";

$here = [];
do {
    foreach ($events = ws_poll_events() as $event) {
        handle($event, $door, $here);
    }
} while ($events === [] || end($events)->type !== Event::STOPPED);
echo "bye\n";
