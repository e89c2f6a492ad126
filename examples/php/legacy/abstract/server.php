#!/usr/bin/env php
<?php
// A chat in the style of the abstract class with process(), connected() and closed():
//   php -q -d extension=wsengine.so -d wsengine.static_root=../page server.php 127.0.0.1 8080
// Then open http://127.0.0.1:8080/ in two windows. The first line you write is your name.

require __DIR__ . '/../../../../php-ext/lib/Compat/abstract.php';

class Guest extends WebSocketUser
{
    public $name = '';
}

class ChatServer extends WebSocketServer
{
    protected $userClass = 'Guest';

    protected function connected($user)
    {
        $this->send($user, 'Who are you?');
    }

    protected function process($user, $message)
    {
        $message = trim($message);
        if ($user->name === '') {
            $user->name = $message;
            $this->sendAll($user->name . ' has come');
        } else {
            $this->sendAll($user->name . ': ' . $message);
        }
    }

    protected function closed($user)
    {
        if ($user->name !== '') {
            $this->sendAll($user->name . ' has gone');
        }
    }

    private function sendAll($line)
    {
        foreach ($this->users as $user) {
            $this->send($user, $line);
        }
    }
}

$address = isset($argv[1]) ? $argv[1] : '127.0.0.1';
$port = isset($argv[2]) ? $argv[2] : '8080';

$chat = new ChatServer($address, $port);
try {
    $chat->run();
} catch (Exception $e) {
    $chat->stdout($e->getMessage());
}
echo "bye\n";
