#!/usr/bin/env php
<?php
// A clock in the style of the push servers that fork a child for each client:
//   php -q -d extension=wsengine.so -d wsengine.static_root=../page server.php 127.0.0.1 8080
// Then open http://127.0.0.1:8080/ in two windows. "quit" ends the pushing, and so does closing the window.

require __DIR__ . '/../../../../php-ext/lib/Compat/push.php';

class Clock extends Server
{
    protected function startProcess($client)
    {
        $pid = pcntl_fork();
        if ($pid == -1) {
            die('could not fork');
        } elseif ($pid) {
            $client->setPid($pid);
        } else {
            while ($client->isConnected()) {
                $this->send($client, 'process ' . getmypid() . ' says ' . date('H:i:s'));
                sleep(1);
            }
        }
    }
}

$address = isset($argv[1]) ? $argv[1] : '127.0.0.1';
$port = isset($argv[2]) ? $argv[2] : 8080;
$verboseMode = true;

$server = new Clock($address, $port, $verboseMode);
$server->run();
echo "bye\n";
