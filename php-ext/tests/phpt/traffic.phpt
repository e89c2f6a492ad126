--TEST--
Connections, messages of both kinds, a broadcast, a decision and the end: what valgrind has to see once
--FILE--
<?php
require __DIR__ . '/../support/Client.php';

use WsEngine\Tests\Client;

function next_event(string $type): WsEngine\Event
{
    $event = ws_poll_event(30.0);
    if ($event?->type !== $type) {
        throw new Exception("expected \"$type\": " . json_encode($event));
    }
    return $event;
}

$server = ws_server_start(['listen' => '127.0.0.1:0', 'handshake_events' => true]);
$headers = ['Cookie' => 'a=1; b=2', 'Sec-WebSocket-Protocol' => 'x, y', 'Origin' => "http://$server->address"];
$client = new Client($server->address, '/room?name=me', $headers, timeout: 30.0, wait: false);
$asked = next_event('handshake');
var_dump(ws_accept($asked->conn, 'y', ['X-Seen' => 'yes']), $client->answer());
$conn = next_event('open')->conn;
echo json_encode($asked->request->cookies), json_encode($asked->request->subprotocols), $asked->request->query, "\n";

$client->send('Grüße');
$client->send("\0\xff", Client::BINARY);
$client->send('');
for ($got = 0; $got < 3;) {
    foreach (ws_poll_events(2, 30.0) as $event) {
        echo ++$got, ' ', bin2hex($event->data), ' ', json_encode($event->binary), "\n";
        ws_send($conn, $event->data, $event->binary);
    }
}
var_dump(bin2hex($client->expect()), bin2hex($client->expect(Client::BINARY)), $client->expect());
var_dump(ws_broadcast(str_repeat('long ', 50_000)), strlen($client->expect()), ws_broadcast('x', except: [$conn]));
var_dump(ws_connections() === [$conn], get_resource_type(ws_event_stream()), ws_stats()['connections']);

$client->close(3000, 'bye');
$close = next_event('close');
var_dump($close->code, $close->data, $close->clean, ws_is_open($conn));

$client = new Client($server->address, timeout: 30.0, wait: false);
var_dump(ws_reject(next_event('handshake')->conn, 401, 'Who?', ['X-Why' => 'so']), $client->answer());
// One that the end of the script finds undecided.
$client = new Client($server->address, wait: false);
next_event('handshake');
echo "done\n";
?>
--EXPECT--
bool(true)
int(101)
{"a":"1","b":"2"}["x","y"]name=me
1 4772c3bcc39f65 false
2 00ff true
3  false
string(14) "4772c3bcc39f65"
string(4) "00ff"
string(0) ""
int(1)
int(250000)
int(0)
bool(true)
string(6) "stream"
int(1)
int(3000)
string(3) "bye"
bool(true)
bool(false)
bool(true)
int(401)
done
