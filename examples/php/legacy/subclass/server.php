#!/usr/bin/env php
<?php
// A chat bot in the style of the classes that are extended:
//   php -q -d extension=wsengine.so -d wsengine.static_root=../page server.php 127.0.0.1 8080
// Then open http://127.0.0.1:8080/. It answers "hello", "time" and "who"; "all …" goes to everybody.

require __DIR__ . '/../../../../php-ext/lib/Compat/subclass.php';

class Waiter extends WebSocket
{
    function process($user, $msg)
    {
        $this->say('< ' . $msg);
        $words = explode(' ', trim($msg), 2);
        switch ($words[0]) {
            case 'hello':
                $user->greeted = true;
                $this->send($user->socket, 'good evening');
                break;
            case 'time':
                $this->send($user->socket, 'it is ' . date('H:i'));
                break;
            case 'who':
                $this->send($user->socket, count($this->users) . ' at the tables');
                break;
            case 'all':
                foreach ($this->users as $other) {
                    $this->send($other->socket, $words[1]);
                }
                break;
            case 'bye':
                $this->send($user->socket, empty($user->greeted) ? 'and not a word before' : 'good night');
                $this->disconnect($user->socket);
                break;
            default:
                $this->send($user->socket, 'pardon?');
        }
    }
}

$address = isset($argv[1]) ? $argv[1] : '127.0.0.1';
$port = isset($argv[2]) ? $argv[2] : 8080;

$master = new Waiter($address, $port);
echo "bye\n";
