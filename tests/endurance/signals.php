<?php
// Answers each SIGUSR1 with a line while it polls in every way there is.
declare(strict_types=1);

pcntl_async_signals(true);
$signals = 0;
pcntl_signal(SIGUSR1, function () use (&$signals) {
    $signals++;
    echo $signals, "\n";
});
echo ws_server_start('127.0.0.1:0')->address, "\n";
for ($turn = 0; $signals < 3000; $turn++) {
    match ($turn % 4) {
        0 => ws_poll_events(256, -1),
        1 => ws_poll_event(-1),
        2 => ws_poll_events(1, 0.0005),
        3 => ws_poll_events(256, 30),
    };
}
