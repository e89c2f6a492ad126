<?php
declare(strict_types=1);

namespace WsEngine\Tests\Lib;

use WsEngine\Tests\Client;
use WsEngine\Tests\LibTestCase;

/** Handlers of signals that throw, wherever the signal finds the script. */
final class SignalTest extends LibTestCase
{
    /**
     * Floods a busy server with signals whose handler throws unless it finds a handler of an event at work, and runs it
     * again each time: every event comes once.
     *
     * @dataProvider ways
     */
    public function testNoEventIsLostAndNoneComesTwice(string $run): void
    {
        $script = self::script('
            final class Out extends Exception {}
            final class Work {
                public static array $done = [];
                public static bool $thrown = false;
                public static function open($c) { self::do("open $c->id"); }
                public static function openAgain($c) { self::do("open again $c->id"); }
                public static function message($c, string $data) { self::do("message $data"); }
                public static function messageAgain($c, string $data) { self::do("message again $data"); }
                public static function close($c) { self::do("close $c->id"); }
                public static function stop() { self::do("stop"); }
                public static function do(string $what) { self::$done[$what] = (self::$done[$what] ?? 0) + 1; }
                public static function end($c) { $GLOBALS["server"]->connections() === [$c->id => $c]
                    && self::$done["message 0"] && $GLOBALS["server"]->stop(0); }
            }
            $server->on("open", "Work::open")->on("open", "Work::openAgain")->on("message", "Work::message")
                ->on("message", "Work::messageAgain")->on("close", "Work::close")->on("close", "Work::end")
                ->on("stop", "Work::stop")->on("error", function ($e) {
                    $e instanceof Out || exit("an error: $e\n");
                    Work::$thrown = false;
                });
            for ($i = 0; $i < 200; $i++) {
                $server->after($i / 1000, fn () => Work::do("timer $i"));
            }
            pcntl_async_signals(true);
            pcntl_signal(SIGUSR1, function () {
                $frames = debug_backtrace(DEBUG_BACKTRACE_IGNORE_ARGS);
                $classes = array_column($frames, "class");
                // In a handler or a timer it would be as if that had thrown, and in the script it is not caught.
                if (!Work::$thrown && !in_array("Work", $classes) && in_array("WsEngine\Loop", $classes)
                    && !in_array("call", array_column($frames, "function"))) {
                    Work::$thrown = true;
                    throw new Out();
                }
            });
            echo "ready\n";
            for ($left = 0; !isset(Work::$done["stop"]); ) {
                try { ' . $run . ' } catch (Out) { $left++; Work::$thrown = false; }
            }
            echo json_encode([count(Work::$done), array_filter(Work::$done, fn ($n) => $n > 1)]), "\n", $left, "\n";
        ');
        $address = $script->line();
        self::assertSame('ready', $script->line());
        $clients = [];
        $sent = 0;
        $end = microtime(true) + 1.0;
        while (microtime(true) < $end) {
            if (count($clients) < 200) {
                $clients[] = new Client($address);
            }
            foreach (array_slice($clients, -10) as $client) {
                $client->send((string) $sent++);
                $script->signal(SIGUSR1);
            }
        }
        foreach ($clients as $client) {
            $script->signal(SIGUSR1);
            $client->close();
        }
        self::assertSame(json_encode([200 + 3 * count($clients) + 2 * $sent + 1, []]), $script->line(20.0));
        self::assertGreaterThan(10, (int) $script->line());
        self::assertSame(0, $script->end()['exit']);
    }

    public static function ways(): array
    {
        return [
            'run()' => ['$server->run();'],
            'process()' => ['$server->process();'],
            'process() in a fiber' => ['(new Fiber(fn () => $server->process()))->start();'],
        ];
    }
}
