#!/usr/bin/env php
<?php
// A chat in the style of PHPWebSocket: functions bound to events, clients by number.
//   php -q -d extension=wsengine.so -d wsengine.static_root=../page server.php 127.0.0.1 8080
// Then open http://127.0.0.1:8080/ in two windows.

set_time_limit(0);

require __DIR__ . '/../../../../php-ext/lib/Compat/bind.php';

function wsOnOpen($clientID)
{
    global $Server;
    $ip = long2ip($Server->wsClients[$clientID][6]);
    $Server->log("$ip ($clientID) has come in, " . count($Server->wsClients) . ' are here');
    $Server->wsSend($clientID, "You are visitor $clientID.");
    toOthers($clientID, "Visitor $clientID has come in.");
}

function wsOnMessage($clientID, $message, $messageLength, $binary)
{
    global $Server;
    if ($messageLength == 0) {
        $Server->wsClose($clientID);
        return;
    }
    $Server->wsSend($clientID, "You: $message", $binary);
    toOthers($clientID, "Visitor $clientID: $message", $binary);
}

function wsOnClose($clientID, $status)
{
    global $Server;
    $ip = long2ip($Server->wsClients[$clientID][6]);
    $Server->log("$ip ($clientID) has left, status $status");
    toOthers($clientID, "Visitor $clientID has left.");
}

function toOthers($clientID, $text, $binary = false)
{
    global $Server;
    foreach ($Server->wsClients as $id => $client) {
        if ($id != $clientID) {
            $Server->wsSend($id, $text, $binary);
        }
    }
}

$Server = new PHPWebSocket();
$Server->bind('open', 'wsOnOpen');
$Server->bind('message', 'wsOnMessage');
$Server->bind('close', 'wsOnClose');
$Server->wsStartServer(isset($argv[1]) ? $argv[1] : '127.0.0.1', isset($argv[2]) ? $argv[2] : 8080);
echo "bye\n";
