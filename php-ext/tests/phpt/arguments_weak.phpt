--TEST--
Without strict_types arguments are converted as for any PHP function
--FILE--
<?php
set_error_handler(function (int $level, string $message) {
    echo "  [$message]\n";
    return true;
});
function attempt(string $name, callable $call): void
{
    echo "$name\n";
    try {
        $result = json_encode($call());
        echo "  $result\n";
    } catch (Throwable $e) {
        echo '  ', get_class($e), ': ', $e->getMessage(), "\n";
    }
}
class Text
{
    public function __toString(): string { return 'text'; }
}
class Thrower
{
    public function __toString(): string { throw new LogicException('from __toString'); }
}
ws_server_start('127.0.0.1:0');

attempt('int from string', fn () => ws_send('5', 'x'));
attempt('int from float', fn () => ws_send(5.0, 'x'));
attempt('int from float with a fraction', fn () => ws_send(5.5, 'x'));
attempt('int from bool', fn () => ws_send(true, 'x'));
attempt('int from null', fn () => ws_send(null, 'x'));
attempt('int from other text', fn () => ws_send('5 or so', 'x'));
attempt('int from array', fn () => ws_send([], 'x'));
attempt('int too large', fn () => ws_send(1e30, 'x'));
attempt('string from int', fn () => ws_send(5, 17));
attempt('string from float', fn () => ws_broadcast(1.5));
attempt('string from an object', fn () => ws_broadcast(new Text()));
attempt('string from an object that throws', fn () => ws_broadcast(new Thrower()));
attempt('string from another object', fn () => ws_broadcast(new stdClass()));
attempt('string from array', fn () => ws_broadcast([]));
attempt('bool from int', fn () => ws_broadcast("\xFF", 1));
attempt('bool from array', fn () => ws_broadcast('x', []));
attempt('topic from int', fn () => ws_publish(17, 'x'));
attempt('topic from an object', fn () => ws_unsubscribe('5', new Text()));
attempt('topic from null', fn () => ws_subscribe(5, null));
attempt('float from int', fn () => ws_poll_event(0));
attempt('float from string', fn () => ws_poll_event('0.0'));
attempt('float from other text', fn () => ws_poll_event('soon'));
attempt('array from string', fn () => ws_broadcast('x', false, '5'));
attempt('array or string from an object', fn () => ws_server_start(new ArrayObject()));
attempt('float or null', fn () => ws_server_stop([]));
$reference = '5';
$data = 'x';
attempt('references', fn () => call_user_func_array('ws_send', [&$reference, &$data]));
echo gettype($reference), "\n";
ws_server_stop(0);
?>
--EXPECT--
int from string
  false
int from float
  false
int from float with a fraction
  [Implicit conversion from float 5.5 to int loses precision]
  false
int from bool
  false
int from null
  [ws_send(): Passing null to parameter #1 ($conn) of type int is deprecated]
  false
int from other text
  TypeError: ws_send(): Argument #1 ($conn) must be of type int, string given
int from array
  TypeError: ws_send(): Argument #1 ($conn) must be of type int, array given
int too large
  TypeError: ws_send(): Argument #1 ($conn) must be of type int, float given
string from int
  false
string from float
  0
string from an object
  0
string from an object that throws
  LogicException: from __toString
string from another object
  TypeError: ws_broadcast(): Argument #1 ($data) must be of type string, stdClass given
string from array
  TypeError: ws_broadcast(): Argument #1 ($data) must be of type string, array given
bool from int
  0
bool from array
  TypeError: ws_broadcast(): Argument #2 ($binary) must be of type bool, array given
topic from int
  0
topic from an object
  false
topic from null
  [ws_subscribe(): Passing null to parameter #2 ($topic) of type string is deprecated]
  ValueError: ws_subscribe(): Argument #2 ($topic) must be 1 to 256 bytes long, 0 given
float from int
  null
float from string
  null
float from other text
  TypeError: ws_poll_event(): Argument #1 ($timeout) must be of type float, string given
array from string
  TypeError: ws_broadcast(): Argument #3 ($except) must be of type array, string given
array or string from an object
  TypeError: ws_server_start(): Argument #1 ($options) must be of type array|string, ArrayObject given
float or null
  TypeError: ws_server_stop(): Argument #1 ($drain) must be of type ?float, array given
references
  false
string
