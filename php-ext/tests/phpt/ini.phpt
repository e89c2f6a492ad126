--TEST--
INI settings are the defaults of the options, and what the script says counts more
--INI--
wsengine.listen="127.0.0.1:0"
wsengine.handshake_events=on
wsengine.static_root=none
wsengine.max_headers=
wsengine.io_threads=2
--FILE--
<?php
foreach (['listen', 'handshake_events', 'static_root', 'io_threads', 'max_fragments'] as $option) {
    echo "$option: ", var_export(ini_get("wsengine.$option"), true), "\n";
}
$threads = fn () => count(preg_grep('/^wsengine-io/', array_map(
    fn ($task) => (string) @file_get_contents($task),
    glob('/proc/self/task/*/comm'),
)));
$start = function (array $options, int $expected) use ($threads): void {
    $info = ws_server_start($options);
    // A thread has its name a moment after it has begun, and is listed a moment after it has ended.
    $end = microtime(true) + 5.0;
    while (($count = $threads()) !== $expected && microtime(true) < $end) {
        usleep(1000);
    }
    echo preg_replace('/\d+$/', 'port', $info->address), " by $count I/O threads\n";
    ws_server_stop(0);
};
$start([], 2);
$start(['listen' => '127.0.0.2:0', 'io_threads' => 1], 1);
$start(['io_threads' => null], 2);
ini_set('wsengine.io_threads', '1');
$start([], 1);

ini_set('wsengine.io_threads', 'many');
try {
    ws_server_start('127.0.0.1:0');
} catch (WsEngine\ConfigException $e) {
    echo $e->getMessage(), "\n";
}
ini_restore('wsengine.io_threads');
$start(['handshake_events' => false], 2);
?>
--EXPECT--
listen: '127.0.0.1:0'
handshake_events: '1'
static_root: ''
io_threads: '2'
max_fragments: '1024'
127.0.0.1:port by 2 I/O threads
127.0.0.2:port by 1 I/O threads
127.0.0.1:port by 2 I/O threads
127.0.0.1:port by 1 I/O threads
INI setting wsengine.io_threads: option "io_threads": "many" is not allowed; allowed is a whole number from 0 to 4; 0 means one less than there are cores, at least 1 and at most 4
127.0.0.1:port by 2 I/O threads
