--TEST--
Arguments by name, and too few or too many of them
--FILE--
<?php
function attempt(callable $call): void
{
    try {
        echo json_encode($call()), "\n";
    } catch (Error $e) {
        echo get_class($e), ': ', $e->getMessage(), "\n";
    }
}
ws_server_start(options: '127.0.0.1:0');
attempt(fn () => ws_send(data: 'x', conn: 1));
attempt(fn () => ws_send(1, binary: true, data: "\xFF"));
attempt(fn () => ws_broadcast('x', except: [1, 2]));
attempt(fn () => ws_publish(data: 'x', topic: 'a', except: [1, 2]));
attempt(fn () => ws_subscribe(topic: 'a', conn: 1));
attempt(fn () => ws_close(1, reason: 'bye'));
attempt(fn () => ws_poll_events(timeout: 0));
attempt(fn () => ws_send(conn: 1));
attempt(fn () => ws_send(1, 'x', false, 4));
attempt(fn () => ws_send(1, 'x', text: true));
attempt(fn () => ws_publish('a'));
attempt(fn () => ws_publish('a', 'x', false, [], 5));
attempt(fn () => ws_subscribe(1));
attempt(fn () => ws_unsubscribe(1, 'a', 'b'));
attempt(fn () => ws_connections(1));
attempt(fn () => ws_is_open());
ws_server_stop(drain: 0);
?>
--EXPECT--
false
false
0
0
false
false
[]
ArgumentCountError: ws_send() expects at least 2 arguments, 1 given
ArgumentCountError: ws_send() expects at most 3 arguments, 4 given
Error: Unknown named parameter $text
ArgumentCountError: ws_publish() expects at least 2 arguments, 1 given
ArgumentCountError: ws_publish() expects at most 4 arguments, 5 given
ArgumentCountError: ws_subscribe() expects at least 2 arguments, 1 given
ArgumentCountError: ws_unsubscribe() expects exactly 2 arguments, 3 given
ArgumentCountError: ws_connections() expects exactly 0 arguments, 1 given
ArgumentCountError: ws_is_open() expects exactly 1 argument, 0 given
