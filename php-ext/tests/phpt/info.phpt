--TEST--
phpinfo() shows version and live state
--FILE--
<?php
ob_start();
phpinfo(INFO_MODULES);
preg_match('/\nwsengine\n(.*?)\n\n\w/s', ob_get_clean() . "\n\nx", $without);
echo trim($without[1]), "\n--\n";
$info = ws_server_start('127.0.0.1:0');
ob_start();
phpinfo(INFO_MODULES);
$text = ob_get_clean();
var_dump(str_contains($text, "Server => $info->address"), str_contains($text, 'messages_in => 0'));
var_dump(phpversion('wsengine') === (new ReflectionExtension('wsengine'))->getVersion());
?>
--EXPECTF--
WebSocket server => enabled
Version => %d.%d.%s
Protocol => RFC 6455, version 13
Interface => fit for servers
Server => none
--
bool(true)
bool(true)
bool(true)
