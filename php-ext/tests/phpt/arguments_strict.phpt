--TEST--
With strict_types arguments are not converted, but int to float
--FILE--
<?php
declare(strict_types=1);

function attempt(callable $call): void
{
    try {
        echo json_encode($call()), "\n";
    } catch (TypeError $e) {
        echo $e->getMessage(), "\n";
    }
}
ws_server_start('127.0.0.1:0');
attempt(fn () => ws_send('5', 'x'));
attempt(fn () => ws_send(5.0, 'x'));
attempt(fn () => ws_send(null, 'x'));
attempt(fn () => ws_send(5, 17));
attempt(fn () => ws_send(5, new class { public function __toString(): string { return ''; } }));
attempt(fn () => ws_send(5, 'x', 1));
attempt(fn () => ws_subscribe('5', 'a'));
attempt(fn () => ws_subscribe(5, 17));
attempt(fn () => ws_publish(5, 'x'));
attempt(fn () => ws_poll_event('0'));
attempt(fn () => ws_poll_event(0));
attempt(fn () => ws_poll_events(1.0));
attempt(fn () => ws_server_start(8080));
ws_server_stop(0);
?>
--EXPECT--
ws_send(): Argument #1 ($conn) must be of type int, string given
ws_send(): Argument #1 ($conn) must be of type int, float given
ws_send(): Argument #1 ($conn) must be of type int, null given
ws_send(): Argument #2 ($data) must be of type string, int given
ws_send(): Argument #2 ($data) must be of type string, class@anonymous given
ws_send(): Argument #3 ($binary) must be of type bool, int given
ws_subscribe(): Argument #1 ($conn) must be of type int, string given
ws_subscribe(): Argument #2 ($topic) must be of type string, int given
ws_publish(): Argument #1 ($topic) must be of type string, int given
ws_poll_event(): Argument #1 ($timeout) must be of type float, string given
null
ws_poll_events(): Argument #1 ($max) must be of type int, float given
ws_server_start(): Argument #1 ($options) must be of type array|string, int given
