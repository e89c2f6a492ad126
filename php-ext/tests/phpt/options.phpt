--TEST--
Options that are not allowed are ConfigExceptions that name option, value and what is allowed
--FILE--
<?php
function attempt(array|string $options): void
{
    try {
        $info = ws_server_start($options);
        echo "$info->address\n";
        ws_server_stop(0);
    } catch (WsEngine\ConfigException $e) {
        echo $e->getMessage(), "\n";
    }
}
attempt(['max_conections' => 5]);
attempt(['max_conections' => null]);
attempt(['max_conections' => [[]]]);
attempt(['max_connections' => 'many']);
attempt(['max_connections' => -1]);
attempt(['max_connections' => 1.5]);
attempt(['max_connections' => NAN]);
attempt(['max_connections' => true]);
attempt(['max_connections' => new stdClass()]);
attempt(['max_connections' => STDIN]);
attempt(['slow_consumer' => "cl\0se"]);
attempt(['static_root' => "\xFF"]);
attempt(['listen' => ['127.0.0.1:0', '127.0.0.1:0,127.0.0.1:0']]);
attempt(['listen' => ['127.0.0.1:0', 5]]);
attempt(['127.0.0.1:0']);
attempt('nowhere');
echo "--\n";
attempt('127.0.0.1:0');
attempt(['listen' => '127.0.0.1:0', 'max_connections' => '10']);
attempt(['listen' => '127.0.0.1:0', 'max_connections' => 1e3, 'static_root' => null, 'subprotocols' => ['a', 'b']]);
$reference = 10;
attempt(['listen' => ['127.0.0.1:0', '127.0.0.1:0'], 'max_connections' => &$reference]);
?>
--EXPECTF--
unknown option "max_conections"; did you mean "max_connections"?
unknown option "max_conections"; did you mean "max_connections"?
unknown option "max_conections"; did you mean "max_connections"?
option "max_connections": "many" is not allowed; allowed is a whole number from 0 to %a
option "max_connections": "-1" is not allowed; allowed is a whole number from 0 to %a
option "max_connections": a value of type float that is not whole, 1.5, is not allowed; allowed is a whole number from 0 to %a
option "max_connections": a value of type float that is not whole, NaN, is not allowed; allowed is a whole number from 0 to %a
option "max_connections": a value of type bool is not allowed; allowed is a whole number from 0 to %a
option "max_connections": a value of type object is not allowed; allowed is a whole number from 0 to %a
option "max_connections": a value of type resource is not allowed; allowed is a whole number from 0 to %a
option "slow_consumer": "cl\0se" is not allowed; allowed is close, drop_newest or drop_oldest
option "static_root": a value of type string that is not UTF-8 is not allowed; allowed is %a
option "listen": a value of type array with an item that has a comma, "127.0.0.1:0,127.0.0.1:0", is not allowed; allowed is %a
option "listen": a value of type array with an item of type int is not allowed; allowed is %a
options have names, as in ['listen' => '127.0.0.1:8080']; the one with the key 0 has none
option "listen": "nowhere" is not allowed; allowed is %a
--
127.0.0.1:%d
127.0.0.1:%d
127.0.0.1:%d
127.0.0.1:%d
