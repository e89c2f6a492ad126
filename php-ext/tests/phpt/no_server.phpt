--TEST--
Without a server every function says how to start one
--FILE--
<?php
$calls = [
    fn () => ws_poll_event(), fn () => ws_poll_events(), fn () => ws_send(1, 'x'), fn () => ws_broadcast('x'),
    fn () => ws_close(1), fn () => ws_is_open(1), fn () => ws_connections(), fn () => ws_event_stream(),
    fn () => ws_stats(), fn () => ws_server_stop(), fn () => ws_accept(1), fn () => ws_reject(1), fn () => ws_tls_reload(),
    fn () => ws_subscribe(1, 'a'), fn () => ws_unsubscribe(1, 'a'), fn () => ws_publish('a', 'x'),
    fn () => ws_members('a'), fn () => ws_presence('a'),
];
foreach ($calls as $call) {
    try {
        $call();
    } catch (WsEngine\Exception $e) {
        echo get_class($e), ': ', $e->getMessage(), "\n";
    }
}
?>
--EXPECT--
WsEngine\Exception: ws_poll_event(): no server has been started; call ws_server_start() first
WsEngine\Exception: ws_poll_events(): no server has been started; call ws_server_start() first
WsEngine\Exception: ws_send(): no server has been started; call ws_server_start() first
WsEngine\Exception: ws_broadcast(): no server has been started; call ws_server_start() first
WsEngine\Exception: ws_close(): no server has been started; call ws_server_start() first
WsEngine\Exception: ws_is_open(): no server has been started; call ws_server_start() first
WsEngine\Exception: ws_connections(): no server has been started; call ws_server_start() first
WsEngine\Exception: ws_event_stream(): no server has been started; call ws_server_start() first
WsEngine\Exception: ws_stats(): no server has been started; call ws_server_start() first
WsEngine\Exception: ws_server_stop(): no server has been started; call ws_server_start() first
WsEngine\Exception: ws_accept(): no server has been started; call ws_server_start() first
WsEngine\Exception: ws_reject(): no server has been started; call ws_server_start() first
WsEngine\Exception: ws_tls_reload(): no server has been started; call ws_server_start() first
WsEngine\Exception: ws_subscribe(): no server has been started; call ws_server_start() first
WsEngine\Exception: ws_unsubscribe(): no server has been started; call ws_server_start() first
WsEngine\Exception: ws_publish(): no server has been started; call ws_server_start() first
WsEngine\Exception: ws_members(): no server has been started; call ws_server_start() first
WsEngine\Exception: ws_presence(): no server has been started; call ws_server_start() first
