--TEST--
phpinfo() shows version and live state
--FILE--
<?php
ob_start();
phpinfo(INFO_MODULES);
preg_match('/\nwsengine\n(.*?log_level[^\n]*)/s', ob_get_clean(), $without);
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
Protocols => RFC 6455 %a
Compression => permessage-deflate %a
TLS => 1.2 and 1.3
Listeners => TCP, %a
Interface => fit for servers
Server => none

Directive => Local Value => Master Value
%a
wsengine.listen => 127.0.0.1:8080 => 127.0.0.1:8080
wsengine.log_level => warn => warn
--
bool(true)
bool(true)
bool(true)
