<?php
declare(strict_types=1);

namespace WsEngine\Tests;

use PHPUnit\Framework\TestCase;

/** Signals reach the script at once, and without a handler they end it as they end any process. */
final class SignalTest extends TestCase
{
    private const START = 'echo ws_server_start("127.0.0.1:0")->address, "\n"; ';

    public function testAsyncHandlersRunWhilePollingForEver(): void
    {
        $script = new Script(
            'pcntl_async_signals(true); $n = 0; ' .
            'pcntl_signal(SIGUSR1, function () use (&$n) { $n++; echo "signal $n\n"; });' . self::START .
            'while (true) { ws_poll_events(10, -1); }'
        );
        $script->line();
        // The machine may have other things to do: of some rounds in one it had not.
        for ($round = 0, $worst = 1.0; $round < 5 && $worst >= 0.05; $round++) {
            for ($i = 1, $worst = 0.0; $i <= 20; $i++) {
                usleep(random_int(0, 3000));
                $begin = microtime(true);
                $script->signal(SIGUSR1);
                self::assertSame('signal ' . (20 * $round + $i), $script->line());
                $worst = max($worst, microtime(true) - $begin);
            }
        }
        self::assertLessThan(0.05, $worst);
        $script->signal(SIGTERM);
        self::assertSame(SIGTERM, $script->end()['signal']);
    }

    public function testWithoutAsyncSignalsPollingReturnsAndDispatchRunsTheHandlers(): void
    {
        $script = new Script(
            'pcntl_signal(SIGUSR1, function () { echo "signal\n"; exit(7); });' . self::START .
            'echo "polling\n"; var_dump(ws_poll_event(-1)); pcntl_signal_dispatch();'
        );
        $script->line();
        $script->line();
        usleep(20_000);
        $script->signal(SIGUSR1);
        self::assertSame('NULL', $script->line());
        self::assertSame('signal', $script->line());
        self::assertSame(7, $script->end()['exit']);
    }

    public function testASignalThatCameBeforeThePollIsNotSleptOver(): void
    {
        $script = new Script(
            'pcntl_async_signals(true); pcntl_signal(SIGUSR1, function () { echo "signal\n"; exit(0); });' .
            self::START . 'posix_kill(getmypid(), SIGUSR1); ws_poll_events(10, -1); sleep(10);'
        );
        $script->line();
        self::assertSame('signal', $script->line());
        self::assertSame(0, $script->end()['exit']);
    }

    public function testAHandlerThatThrowsLeavesThePoll(): void
    {
        $script = new Script(
            'pcntl_async_signals(true); pcntl_signal(SIGTERM, fn () => throw new Exception("stop"));' . self::START .
            'try { echo "ready\n"; ws_poll_events(10, -1); } catch (Exception $e) { echo $e->getMessage(), "\n"; }'
        );
        $script->line();
        $script->line();
        usleep(20_000);
        $script->signal(SIGTERM);
        self::assertSame('stop', $script->line());
        self::assertSame(0, $script->end()['exit']);
    }

    /** @dataProvider waysToBeBusy */
    public function testWithoutHandlersASignalTellsTheClientsAndEndsTheProcess(string $busy, int $signal): void
    {
        $script = new Script(self::START . "echo \"busy\n\"; $busy");
        $client = new Client($script->line());
        $script->line();
        usleep(20_000);
        $begin = microtime(true);
        $script->signal($signal);
        self::assertSame([1001, ''], $client->closed());
        $client->answerClose(1001);
        self::assertSame(['exit' => null, 'signal' => $signal], $script->end());
        self::assertLessThan(4.0, microtime(true) - $begin);
    }

    public static function waysToBeBusy(): array
    {
        $poll = 'while (true) { ws_poll_events(10, -1); } echo "not reached\n";';
        return [
            'polling, Ctrl-C' => [$poll, SIGINT],
            'polling, SIGTERM' => [$poll, SIGTERM],
            'polling without a wait' => ['while (true) { ws_poll_events(10, 0); }', SIGINT],
            'sleeping' => ['sleep(30);', SIGINT],
            'sleeping in a loop' => ['while (true) { usleep(1000); }', SIGTERM],
            'computing' => ['for ($i = 0; ; $i++) { $x = md5((string) $i); }', SIGINT],
            'reading' => ['while (true) { fgets(stream_socket_pair(1, 1, 0)[0]); }', SIGTERM],
        ];
    }

    public function testASilentClientDoesNotHoldTheProcess(): void
    {
        $script = new Script(self::START . 'sleep(30);');
        $client = new Client($script->line());
        $begin = microtime(true);
        $script->signal(SIGTERM);
        self::assertSame(SIGTERM, $script->end()['signal']);
        self::assertLessThan(4.0, microtime(true) - $begin);
        self::assertSame(1001, $client->closed()[0]);
    }

    public function testThePortIsFreeAfterASignal(): void
    {
        $script = new Script(self::START . 'sleep(30);');
        $address = $script->line();
        $client = new Client($address);
        $script->signal(SIGINT);
        $script->end();
        $again = new Script('echo ws_server_start("' . $address . '")->address, "\n";');
        self::assertSame($address, $again->line());
        self::assertSame(0, $again->end()['exit']);
    }

    public function testAnIgnoredSignalStaysIgnored(): void
    {
        $poll = 'while (true) { foreach (ws_poll_events() as $e) { echo $e->type, "\n"; } }';
        $script = new Script(self::START . $poll, [], 'trap "" INT;');
        $address = $script->line();
        $script->signal(SIGINT);
        $client = new Client($address);
        self::assertSame('open', $script->line());
        $script->signal(SIGTERM);
        self::assertSame(SIGTERM, $script->end()['signal']);
    }

    public function testAHandlerSetAfterTheStartReplacesOurs(): void
    {
        $script = new Script(
            self::START . 'pcntl_async_signals(true); pcntl_signal(SIGINT, function () { echo "mine\n"; exit(3); });' .
            'echo "ready\n"; while (true) { ws_poll_events(1, -1); }'
        );
        $client = new Client($script->line());
        $script->line();
        $script->signal(SIGINT);
        self::assertSame('mine', $script->line());
        self::assertSame(1001, $client->closed()[0]);
        $client->answerClose(1001);
        self::assertSame(3, $script->end()['exit']);
    }

    public function testAfterTheStopTheDefaultIsBack(): void
    {
        $script = new Script(self::START . 'ws_server_stop(0); echo "stopped\n"; sleep(30);');
        $script->line();
        $script->line();
        $script->signal(SIGINT);
        self::assertSame(SIGINT, $script->end()['signal']);
    }

    public function testASecondSignalDoesNotWait(): void
    {
        // One that waits takes half a second each time; this machine may take as long once.
        for ($round = 0, $took = 1.0; $round < 5 && $took >= 0.3; $round++) {
            $script = new Script(self::START . 'sleep(30);');
            $client = new Client($script->line());
            $begin = microtime(true);
            $script->signal(SIGINT);
            self::assertSame(1001, $client->closed()[0]);
            $script->signal(SIGINT);
            self::assertSame(SIGINT, $script->end()['signal']);
            $took = microtime(true) - $begin;
        }
        self::assertLessThan(0.3, $took);
    }
}
