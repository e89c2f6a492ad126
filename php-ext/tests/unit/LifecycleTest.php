<?php
declare(strict_types=1);

namespace WsEngine\Tests;

use PHPUnit\Framework\TestCase;

/** However a script ends, its clients are told, the port is free and nothing keeps running. */
final class LifecycleTest extends TestCase
{
    private const START = 'echo ws_server_start("127.0.0.1:0")->address, "\n"; ws_poll_event(5.0); ';

    /** @dataProvider ends */
    public function testTheEndOfTheScript(string $end, int $code, int $exit): void
    {
        $script = new Script(self::START . $end, ['-d', 'memory_limit=32M']);
        $client = new Client($address = $script->line());
        self::assertSame($code, $client->closed()[0] ?? null);
        $client->answerClose($code);
        $begin = microtime(true);
        self::assertSame(['exit' => $exit, 'signal' => null], $script->end());
        self::assertLessThan(0.7, microtime(true) - $begin, 'nobody is left to wait for');

        $again = new Script('echo ws_server_start("' . $address . '")->address, "\n";');
        self::assertSame($address, $again->line());
        self::assertSame(0, $again->end()['exit']);
    }

    public static function ends(): array
    {
        return [
            'its last line' => ['', 1001, 0],
            'exit' => ['exit;', 1001, 0],
            'exit with a status' => ['(function () { exit(3); })();', 1001, 3],
            'an uncaught exception' => ['throw new Exception("gone wrong");', 1011, 255],
            'a fatal error' => ['undefined_function();', 1011, 255],
            'E_USER_ERROR' => ['trigger_error("fatal", E_USER_ERROR);', 1011, 255],
            'no memory left' => ['$x = str_repeat("x", 64 << 20);', 1011, 255],
        ];
    }

    public function testNoMemoryLeftWithinAPoll(): void
    {
        $script = new Script(
            'echo ws_server_start("127.0.0.1:0")->address, "\n"; $kept = [];' .
            'while (true) { foreach (ws_poll_events() as $e) { $kept[] = $e; } }',
            ['-d', 'memory_limit=16M'],
        );
        $client = new Client($script->line());
        try {
            for ($i = 0; $i < 30; $i++) {
                $client->send(str_repeat('x', 1_000_000));
            }
        } catch (\RuntimeException) {
            // The server has gone while we were writing.
        }
        self::assertSame(255, $script->end()['exit']);
        self::assertStringContainsString('Allowed memory size', $script->errors());
    }

    public function testASilentClientDoesNotHoldTheEndForMoreThanASecond(): void
    {
        $script = new Script(self::START);
        $client = new Client($script->line());
        $begin = microtime(true);
        self::assertSame(0, $script->end()['exit']);
        self::assertLessThan(2.0, microtime(true) - $begin);
        self::assertSame(1001, $client->closed()[0]);
    }

    public function testWhatWasSentBeforeTheEndArrives(): void
    {
        $script = new Script(self::START . 'ws_broadcast(str_repeat("x", 1 << 20)); ws_broadcast("last");');
        $client = new Client($script->line());
        self::assertSame(1 << 20, strlen($client->expect()));
        self::assertSame('last', $client->expect());
        self::assertSame(1001, $client->closed()[0]);
        $client->answerClose(1001);
        self::assertSame(0, $script->end()['exit']);
    }

    public function testStopAndStartAgainInOneProcess(): void
    {
        $address = ws_server_start('127.0.0.1:0')->address;
        for ($i = 0; $i < 20; $i++) {
            $client = new Client($address);
            self::assertSame('open', ws_poll_event(5.0)->type);
            ws_server_stop(0);
            self::assertSame(1001, $client->closed()[0] ?? 1001);
            self::assertSame($address, ws_server_start($address)->address);
            self::assertNull(ws_poll_event(0), 'the events of the last server are gone with it');
        }
        ws_server_stop(0);
    }

    public function testAStartAfterAStopWaitsForTheDrain(): void
    {
        $address = ws_server_start('127.0.0.1:0')->address;
        $client = new Client($address);
        ws_server_stop(0.2);
        $begin = microtime(true);
        self::assertSame($address, ws_server_start($address)->address);
        self::assertLessThan(2.0, microtime(true) - $begin);
        self::assertSame(1001, $client->closed()[0]);
        ws_server_stop(0);
    }

    public function testNothingIsLeftRunning(): void
    {
        $run = function () {
            ws_server_start('127.0.0.1:0');
            ws_server_stop(0);
            while (ws_poll_event(5.0) !== null) {
            }
        };
        // The first start frees what the tests before have left.
        $run();
        $before = self::threadsAndDescriptors();
        for ($i = 0; $i < 20; $i++) {
            $run();
        }
        self::assertNoMoreThan($before);
    }

    public function testAFailedStartLeavesNothing(): void
    {
        $taken = stream_socket_server('tcp://127.0.0.1:0');
        $address = stream_socket_get_name($taken, false);
        for ($i = 0; $i < 5; $i++) {
            // As above.
            $before = $i < 2 ? self::threadsAndDescriptors() : $before;
            try {
                ws_server_start(['listen' => ['127.0.0.1:0', $address]]);
                self::fail('the port is in use');
            } catch (\WsEngine\BindException $e) {
                self::assertSame(98, $e->getCode());
            }
        }
        self::assertNoMoreThan($before);
    }

    private static function threadsAndDescriptors(): array
    {
        return [count(scandir('/proc/self/task')), count(scandir('/proc/self/fd'))];
    }

    /** A server's threads are a moment still there after its last event, and a thread after it has ended. */
    private static function assertNoMoreThan(array $before): void
    {
        $end = microtime(true) + 5.0;
        do {
            usleep(1000);
            $now = self::threadsAndDescriptors();
        } while (($now[0] > $before[0] || $now[1] > $before[1]) && microtime(true) < $end);
        self::assertLessThanOrEqual($before[0], $now[0], 'threads');
        self::assertLessThanOrEqual($before[1], $now[1], 'descriptors');
    }
}
