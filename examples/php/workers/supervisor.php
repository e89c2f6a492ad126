#!/usr/bin/env php
<?php
// Runs several processes of one script and keeps them running: one that ends is started again, and SIGTERM, SIGHUP,
// SIGQUIT or Ctrl-C ends all. Each gets the number of its process in the environment, as WORKER.
//
//   php -q supervisor.php WORKERS SCRIPT [ARGUMENT ...]
//
// Options of this PHP, such as -d extension=…, are for the one who starts it to repeat: set PHP_OPTIONS.

declare(strict_types=1);

/** A process that ends sooner than this is started again after so long, not at once. */
const SHORT_LIFE = 5.0;
/** Whoever has not ended by then is killed. */
const PATIENCE = 10.0;

if ($argc < 3 || !ctype_digit($argv[1]) || (int) $argv[1] < 1 || !is_file($argv[2])) {
    fwrite(STDERR, "usage: php -q supervisor.php WORKERS SCRIPT [ARGUMENT ...]\n");
    exit(1);
}
if (!function_exists('pcntl_async_signals')) {
    fwrite(STDERR, "PHP's extension pcntl is missing: without it no signal could end the workers.\n");
    exit(1);
}

$options = preg_split('/\s+/', getenv('PHP_OPTIONS') ?: '', -1, PREG_SPLIT_NO_EMPTY);
$command = [PHP_BINARY, '-q', ...$options, ...array_slice($argv, 2)];

/** @var array<int, resource> $running by number */
$running = [];
/** @var array<int, float> $started when, by number */
$started = [];
/** @var array<int, float> $due when to start, by number */
$due = array_fill(1, (int) $argv[1], 0.0);
$stopping = null;

pcntl_async_signals(true);
foreach ([SIGHUP, SIGINT, SIGQUIT, SIGTERM] as $signal) {
    pcntl_signal($signal, function () use (&$stopping): void {
        $stopping ??= microtime(true);
    });
}

$told = false;
while ($stopping === null || $running !== []) {
    $now = microtime(true);
    foreach ($stopping === null ? $due : [] as $number => $time) {
        if ($time > $now) {
            continue;
        }
        unset($due[$number]);
        $process = proc_open($command, [STDIN, STDOUT, STDERR], $pipes, null, ['WORKER' => (string) $number] + getenv());
        if ($process === false) {
            $due[$number] = $now + SHORT_LIFE;
            continue;
        }
        [$running[$number], $started[$number]] = [$process, $now];
    }
    if ($stopping !== null) {
        $signal = $now - $stopping > PATIENCE ? SIGKILL : SIGTERM;
        if (!$told || $signal === SIGKILL) {
            array_map(fn ($process) => proc_terminate($process, $signal), $running);
            $told = true;
        }
    }
    foreach ($running as $number => $process) {
        $status = proc_get_status($process);
        if ($status['running']) {
            continue;
        }
        unset($running[$number]);
        proc_close($process);
        if ($stopping === null) {
            $how = $status['signaled'] ? "signal {$status['termsig']}" : "status {$status['exitcode']}";
            $wait = $now - $started[$number] < SHORT_LIFE ? SHORT_LIFE : 0.0;
            fprintf(STDERR, "supervisor: worker %d has ended with %s; it starts again%s\n", $number, $how, $wait > 0 ? " in $wait s" : '');
            $due[$number] = $now + $wait;
        }
    }
    // A signal ends it at once.
    usleep(100_000);
}
