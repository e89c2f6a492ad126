--TEST--
Event objects cannot be made, changed or serialized by scripts; copies are harmless
--FILE--
<?php
ws_server_start('127.0.0.1:0');
ws_server_stop(0);
$event = ws_poll_event();
$attempts = [
    'new' => fn () => new WsEngine\Event(),
    'write' => function () use ($event) { $event->conn = 5; },
    'unset' => function () use ($event) { unset($event->data); },
    'add' => function () use ($event) { $event->other = 5; },
    'serialize' => fn () => serialize($event),
    'unserialize' => fn () => unserialize('O:14:"WsEngine\Event":0:{}'),
];
foreach ($attempts as $name => $attempt) {
    try {
        var_dump($attempt());
    } catch (Throwable $e) {
        echo "$name: ", get_class($e), ': ', $e->getMessage(), "\n";
    }
}
$empty = (new ReflectionClass('WsEngine\Event'))->newInstanceWithoutConstructor();
try {
    echo $empty->type;
} catch (Error $e) {
    echo $e->getMessage(), "\n";
}
var_dump(clone $event, $event == clone $event);
echo json_encode($event), "\n";
?>
--EXPECTF--
new: Error: Call to private WsEngine\Event::__construct() from global scope
write: Error: Cannot modify readonly property WsEngine\Event::$conn
unset: Error: Cannot unset readonly property WsEngine\Event::$data
add: Error: Cannot create dynamic property WsEngine\Event::$other
serialize: Exception: Serialization of 'WsEngine\Event' is not allowed
unserialize: Exception: Unserialization of 'WsEngine\Event' is not allowed
Typed property WsEngine\Event::$type must not be accessed before initialization
object(WsEngine\Event)#%d (7) {
  ["type"]=>
  string(7) "stopped"
  ["conn"]=>
  int(0)
  ["data"]=>
  NULL
  ["binary"]=>
  bool(false)
  ["code"]=>
  int(0)
  ["clean"]=>
  bool(false)
  ["request"]=>
  NULL
}
bool(true)
{"type":"stopped","conn":0,"data":null,"binary":false,"code":0,"clean":false,"request":null}
