--TEST--
A second server is refused while the first runs, and the first goes on
--FILE--
<?php
$info = ws_server_start('127.0.0.1:0');
try {
    ws_server_start('127.0.0.1:0');
} catch (WsEngine\Exception $e) {
    echo get_class($e), ': ', str_replace($info->address, 'ADDRESS', $e->getMessage()), "\n";
}
var_dump(ws_connections());
ws_server_stop(0);
var_dump(ws_server_start('127.0.0.1:0')->port > 0);
?>
--EXPECT--
WsEngine\Exception: ws_server_start(): a server is running in this process already on ADDRESS; give it several addresses in the option "listen", or stop it by ws_server_stop() first
array(0) {
}
bool(true)
