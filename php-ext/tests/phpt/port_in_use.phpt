--TEST--
An address that cannot be had is a BindException with the system's error number
--FILE--
<?php
$taken = stream_socket_server('tcp://127.0.0.1:0');
$address = stream_socket_get_name($taken, false);
foreach ([$address, '192.0.2.1:0', 'no-such-host.invalid:80'] as $listen) {
    try {
        ws_server_start($listen);
    } catch (WsEngine\BindException $e) {
        echo $e->getCode(), ' ', str_replace($address, 'ADDRESS', $e->getMessage()), "\n";
        var_dump($e->getFile() === __FILE__, $e->getLine() === __LINE__ - 3);
    }
}
echo ws_server_start('127.0.0.1:0')->port > 0 ? "started\n" : "not started\n";
?>
--EXPECTF--
98 cannot listen on ADDRESS (option "listen"): the address is in use; stop the other program or choose another port, 0 picks a free one
bool(true)
bool(true)
99 cannot listen on 192.0.2.1:0 (option "listen"): this machine has no such address; 0.0.0.0 or [::] listen on all it has
bool(true)
bool(true)
%i cannot listen on no-such-host.invalid:80 (option "listen"): %s
bool(true)
bool(true)
started
