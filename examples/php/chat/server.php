#!/usr/bin/env php
<?php
// The chat. A browser opens the printed address, gets the page from public/ and speaks WebSocket on the
// same port. What a message means is decided in process(); the wire belongs to ChatServer.php and the engine.
//
//   php -q -d extension=/path/to/libwsengine_php.so server.php 127.0.0.1 8080
//
// Messages are JSON objects. From a browser: {"type":"join","name":…,"since":…}, {"type":"say","text":…}.
// To a browser: welcome and said (see below), and error for the one who made a mistake. Who comes and goes, and which messages
// a page has missed that comes back, the engine says: docs/topics.md.

declare(strict_types=1);

require __DIR__ . '/ChatServer.php';
require __DIR__ . '/User.php';

const NAME_LENGTH = 24;
const TEXT_LENGTH = 2000;

/** Every message of every user comes here. */
function process(User $user, string $msg, ChatServer $server): void
{
    $in = json_decode($msg, true, 4);
    match (is_array($in) ? $in['type'] ?? null : null) {
        'join' => enter($user, $in['name'] ?? null, $in['since'] ?? null, $server),
        'say' => say($user, $in['text'] ?? null, $server),
        default => refuse($user, 'I understand {"type":"join","name":…} and {"type":"say","text":…} only.', $server),
    };
}

function enter(User $user, mixed $name, mixed $since, ChatServer $server): void
{
    if ($user->name !== null) {
        refuse($user, "You are here already, as $user->name.", $server);
        return;
    }
    $name = is_string($name) ? cleanName($name) : '';
    if (!fits($name, NAME_LENGTH)) {
        refuse($user, 'A name has 1 to ' . NAME_LENGTH . ' characters.', $server);
        return;
    }

    $user->name = unusedName($name, $server);
    $server->log("join   #$user->number is $user->name");
    $who = ['id' => $user->id, 'name' => $user->name];
    $server->send($user, encode(['type' => 'welcome', ...$who, 'time' => now()]));
    $server->letIn($user, encode($who), is_string($since) ? $since : '');
}

function say(User $user, mixed $text, ChatServer $server): void
{
    if ($user->name === null) {
        refuse($user, 'Say who you are first: {"type":"join","name":…}.', $server);
        return;
    }
    $text = is_string($text) ? trim($text) : '';
    if (!fits($text, TEXT_LENGTH)) {
        refuse($user, 'A message has 1 to ' . TEXT_LENGTH . ' characters.', $server);
        return;
    }
    $said = ['type' => 'said', 'id' => $user->id, 'name' => $user->name, 'text' => $text, 'time' => now()];
    $server->sendAll(encode($said));
}

function refuse(User $user, string $why, ChatServer $server): void
{
    $server->send($user, encode(['type' => 'error', 'text' => $why, 'time' => now()]));
}

/** One line without control characters, and without marks that turn the writing direction of the page around. */
function cleanName(string $name): string
{
    $name = preg_replace('/[\x{200B}\x{200E}\x{200F}\x{202A}-\x{202E}\x{2060}-\x{2069}\x{FEFF}]/u', '', $name);
    return trim(preg_replace('/[\p{Cc}\p{Z}]+/u', ' ', $name));
}

/** The name itself, or "name (2)" where somebody has it: nobody can pass for another. */
function unusedName(string $name, ChatServer $server): string
{
    $names = array_map(fn (string $label) => json_decode($label)->name, $server->getPeople());
    $taken = fn (string $name): bool => preg_grep('/^' . preg_quote($name, '/') . '$/iuD', $names) !== [];
    for ($n = 2, $free = $name; $taken($free); $n++) {
        $free = "$name ($n)";
    }
    return $free;
}

/** In characters as a reader counts them, not bytes; mbstring may be missing. */
function fits(string $text, int $length): bool
{
    return preg_match("/^.{1,$length}$/usD", $text) === 1;
}

function encode(array $message): string
{
    return json_encode($message, JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES | JSON_THROW_ON_ERROR);
}

/** Milliseconds, as Date.now() of the page. */
function now(): int
{
    return (int) (microtime(true) * 1000);
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

try {
    $server = new ChatServer($address, (int) $port, __DIR__ . '/public', process(...));
} catch (WsEngine\Exception $e) {
    fwrite(STDERR, $e->getMessage() . "\n");
    exit(1);
}

echo 'Server started : ', date('Y-m-d H:i:s'), "\n";
echo 'Open           : ', $server->url, "\n";
echo "                 CTRL-C to quit\n\n";
$server->run();
echo "bye\n";
