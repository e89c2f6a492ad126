--TEST--
The exceptions are RuntimeExceptions with file and line, and scripts may extend and throw them
--FILE--
<?php
class Mine extends WsEngine\ConfigException
{
    public function __construct(public readonly string $option)
    {
        parent::__construct("my own: $option", 42, new Exception('before'));
    }
}
try {
    throw new Mine('listen');
} catch (WsEngine\Exception $e) {
    echo get_class($e), ' ', $e->getCode(), ' ', $e->getMessage(), ' ', $e->option, ' ', $e->getPrevious()->getMessage(), "\n";
    var_dump($e->getLine() === __LINE__ - 3, $e->getFile() === __FILE__);
}
foreach (['ConfigException', 'BindException', 'ForkException'] as $name) {
    var_dump(is_subclass_of("WsEngine\\$name", 'WsEngine\Exception'));
}
var_dump(is_subclass_of('WsEngine\Exception', 'RuntimeException'));
function within(): void
{
    ws_server_start(['nothing' => 1]);
}
try {
    within();
} catch (RuntimeException $e) {
    var_dump($e->getLine() === __LINE__ - 5);
    echo $e->getTrace()[0]['function'], ' ', $e->getTrace()[1]['function'], "\n";
}
?>
--EXPECT--
Mine 42 my own: listen listen before
bool(true)
bool(true)
bool(true)
bool(true)
bool(true)
bool(true)
bool(true)
ws_server_start within
