--TEST--
Values that are not allowed are ValueErrors that name the argument and what is allowed
--FILE--
<?php
function attempt(callable $call): void
{
    try {
        echo json_encode($call()), "\n";
    } catch (ValueError | TypeError $e) {
        echo get_class($e), ': ', $e->getMessage(), "\n";
    }
}
ws_server_start(['listen' => '127.0.0.1:0', 'send_queue_bytes' => 1000, 'presence' => 'room:']);
attempt(fn () => ws_send(1, "\xFF"));
attempt(fn () => ws_broadcast("\xC3\x28"));
attempt(fn () => ws_send(1, str_repeat('x', 1001)));
attempt(fn () => ws_broadcast(str_repeat('x', 1001), true));
attempt(fn () => ws_broadcast('x', except: [1, '2']));
attempt(fn () => ws_broadcast('x', except: ['a' => null]));
foreach (['', str_repeat('x', 257), "a\xFF"] as $topic) {
    attempt(fn () => ws_subscribe(1, $topic));
    attempt(fn () => ws_unsubscribe(1, $topic));
    attempt(fn () => ws_publish($topic, 'x'));
}
attempt(fn () => ws_publish('a', "\xFF"));
attempt(fn () => ws_publish('a', str_repeat('x', 1001), true));
attempt(fn () => ws_publish('a', 'x', except: [1, [2]]));
attempt(fn () => ws_publish(str_repeat('x', 256), "\xFF", true));
attempt(fn () => ws_subscribe(1, "anything: \0/#+*ä"));
attempt(fn () => ws_subscribe(1, 'a', ''));
attempt(fn () => ws_subscribe(1, 'a', null, 'Ann'));
attempt(fn () => ws_subscribe(1, 'room:1', null, str_repeat('x', 1025)));
attempt(fn () => ws_subscribe(1, 'room:1', label: "\xFF"));
attempt(fn () => ws_subscribe(1, 'room:1', label: 'Ann'));
attempt(fn () => ws_members(''));
attempt(fn () => ws_members('nobody'));
attempt(fn () => ws_presence('a'));
attempt(fn () => ws_presence(''));
attempt(fn () => ws_presence('room:1'));
attempt(fn () => ws_poll_events(0));
attempt(fn () => ws_poll_events(-1));
attempt(fn () => ws_poll_event(NAN));
attempt(fn () => ws_poll_events(1, NAN));
attempt(fn () => ws_server_stop(NAN));
foreach ([0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65536 + 1000, -1, PHP_INT_MAX] as $code) {
    attempt(fn () => ws_close(1, $code));
}
attempt(fn () => ws_close(1, 1000, "\xFF"));
attempt(fn () => ws_close(1, 1000, str_repeat('x', 124)));
attempt(fn () => ws_close(1, 4999, str_repeat('x', 123)));
ws_server_stop(0);
?>
--EXPECT--
ValueError: ws_send(): Argument #2 ($data) must be valid UTF-8 for a text message, pass binary: true to send bytes
ValueError: ws_broadcast(): Argument #1 ($data) must be valid UTF-8 for a text message, pass binary: true to send bytes
ValueError: ws_send(): Argument #2 ($data) must be at most 1000 bytes long, which the option "send_queue_bytes" says, 1001 given
ValueError: ws_broadcast(): Argument #1 ($data) must be at most 1000 bytes long, which the option "send_queue_bytes" says, 1001 given
TypeError: ws_broadcast(): Argument #3 ($except) must be a list of connection ids (int), string given at key 1
TypeError: ws_broadcast(): Argument #3 ($except) must be a list of connection ids (int), null given at key a
ValueError: ws_subscribe(): Argument #2 ($topic) must be 1 to 256 bytes long, 0 given
ValueError: ws_unsubscribe(): Argument #2 ($topic) must be 1 to 256 bytes long, 0 given
ValueError: ws_publish(): Argument #1 ($topic) must be 1 to 256 bytes long, 0 given
ValueError: ws_subscribe(): Argument #2 ($topic) must be 1 to 256 bytes long, 257 given
ValueError: ws_unsubscribe(): Argument #2 ($topic) must be 1 to 256 bytes long, 257 given
ValueError: ws_publish(): Argument #1 ($topic) must be 1 to 256 bytes long, 257 given
ValueError: ws_subscribe(): Argument #2 ($topic) must be valid UTF-8
ValueError: ws_unsubscribe(): Argument #2 ($topic) must be valid UTF-8
ValueError: ws_publish(): Argument #1 ($topic) must be valid UTF-8
ValueError: ws_publish(): Argument #2 ($data) must be valid UTF-8 for a text message, pass binary: true to send bytes
ValueError: ws_publish(): Argument #2 ($data) must be at most 1000 bytes long, which the option "send_queue_bytes" says, 1001 given
TypeError: ws_publish(): Argument #4 ($except) must be a list of connection ids (int), array given at key 1
0
false
ValueError: ws_subscribe(): Argument #3 ($since) must be null: the option "history" does not name this topic or what its name begins with
ValueError: ws_subscribe(): Argument #2 ($topic) must be one that the option "presence" names, or what its name begins with
ValueError: ws_subscribe(): Argument #4 ($label) must be at most 1024 bytes long, 1025 given
ValueError: ws_subscribe(): Argument #4 ($label) must be valid UTF-8
false
ValueError: ws_members(): Argument #1 ($topic) must be 1 to 256 bytes long, 0 given
0
ValueError: ws_presence(): Argument #1 ($topic) must be one that the option "presence" names, or what its name begins with
ValueError: ws_presence(): Argument #1 ($topic) must be 1 to 256 bytes long, 0 given
[]
ValueError: ws_poll_events(): Argument #1 ($max) must be at least 1, 0 given
ValueError: ws_poll_events(): Argument #1 ($max) must be at least 1, -1 given
ValueError: ws_poll_event(): Argument #1 ($timeout) must be a number of seconds, NAN given
ValueError: ws_poll_events(): Argument #2 ($timeout) must be a number of seconds, NAN given
ValueError: ws_server_stop(): Argument #1 ($drain) must be a number of seconds, NAN given
ValueError: ws_close(): Argument #2 ($code) must be 1000 to 1003, 1007 to 1014 or 3000 to 4999, 0 given
ValueError: ws_close(): Argument #2 ($code) must be 1000 to 1003, 1007 to 1014 or 3000 to 4999, 999 given
ValueError: ws_close(): Argument #2 ($code) must be 1000 to 1003, 1007 to 1014 or 3000 to 4999, 1004 given
ValueError: ws_close(): Argument #2 ($code) must be 1000 to 1003, 1007 to 1014 or 3000 to 4999, 1005 given
ValueError: ws_close(): Argument #2 ($code) must be 1000 to 1003, 1007 to 1014 or 3000 to 4999, 1006 given
ValueError: ws_close(): Argument #2 ($code) must be 1000 to 1003, 1007 to 1014 or 3000 to 4999, 1015 given
ValueError: ws_close(): Argument #2 ($code) must be 1000 to 1003, 1007 to 1014 or 3000 to 4999, 1016 given
ValueError: ws_close(): Argument #2 ($code) must be 1000 to 1003, 1007 to 1014 or 3000 to 4999, 2999 given
ValueError: ws_close(): Argument #2 ($code) must be 1000 to 1003, 1007 to 1014 or 3000 to 4999, 5000 given
ValueError: ws_close(): Argument #2 ($code) must be 1000 to 1003, 1007 to 1014 or 3000 to 4999, 66536 given
ValueError: ws_close(): Argument #2 ($code) must be 1000 to 1003, 1007 to 1014 or 3000 to 4999, -1 given
ValueError: ws_close(): Argument #2 ($code) must be 1000 to 1003, 1007 to 1014 or 3000 to 4999, 9223372036854775807 given
ValueError: ws_close(): Argument #3 ($reason) must be valid UTF-8
ValueError: ws_close(): Argument #3 ($reason) must be at most 123 bytes long, 124 given
false
