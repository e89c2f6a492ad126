#!/usr/bin/env php
<?php
// A chat in the style of the classes that take a callback:
//   php -q -d extension=wsengine.so -d wsengine.static_root=../page server.php 127.0.0.1 8080
// Then open http://127.0.0.1:8080/ in two windows. "/name Ada" says who you are, "/who" asks who is here.

require __DIR__ . '/../../../../php-ext/lib/Compat/callback.php';

function process($user, $msg, $server)
{
    if (!isset($user->data['name'])) {
        $user->data['name'] = 'guest ' . $user->id;
    }
    if (strpos($msg, '/name ') === 0) {
        $before = $user->data['name'];
        $user->data['name'] = trim(substr($msg, 6));
        tell($server, $before . ' is ' . $user->data['name'] . ' now');
    } elseif ($msg == '/who') {
        $names = array();
        foreach ($server->getUsers() as $other) {
            $names[] = isset($other->data['name']) ? $other->data['name'] : $other->ip;
        }
        $server->send($user->socket, 'here: ' . implode(', ', $names));
    } else {
        tell($server, $user->data['name'] . ': ' . $msg);
    }
}

function tell($server, $line)
{
    foreach ($server->getUsers() as $user) {
        $server->send($user->socket, $line);
    }
}

$address = isset($argv[1]) ? $argv[1] : '127.0.0.1';
$port = isset($argv[2]) ? $argv[2] : 8080;

$webSocket = new WebSocketServer($address, $port, 'process');
$webSocket->run();
echo "bye\n";
