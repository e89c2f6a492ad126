<?php
declare(strict_types=1);

namespace WsEngine\Tests\Lib;

use WsEngine\Tests\Client;
use WsEngine\Tests\LibTestCase;

/** The end of a server. */
final class StopTest extends LibTestCase
{
    public function testRunReturnsWhenAllIsDone(): void
    {
        $said = new \ArrayObject();
        $server = $this->listen();
        $server->on('message', fn () => $server->stop(5.0));
        $server->on('close', fn ($c, int $code, string $reason, bool $clean) => $said[] = [$code, $clean]);
        $server->on('stop', fn () => $said[] = [$server->isStopped(), count($server->connections())]);
        $client = $this->connect();
        $client->send('stop');
        // What a browser answers to a close.
        $client->send("\x03\xE9", Client::CLOSE);
        $server->run();
        self::assertTrue($server->isStopped());
        self::assertSame([true, 0], $said[1]);
        self::assertSame([1001, true], $said[0]);
        self::assertSame(1001, $client->closed()[0]);
    }

    public function testAStopBeforeTheRunIsAStop(): void
    {
        $said = new \ArrayObject();
        $server = $this->listen()->on('stop', fn () => $said[] = 'stop');
        $server->stop(0);
        self::assertFalse($server->isStopped());
        $server->run();
        self::assertSame(['stop'], $said->getArrayCopy());
    }

    public function testNothingHappensAfterTheStop(): void
    {
        $said = new \ArrayObject();
        $server = $this->listen();
        $server->on('stop', function () use ($server, $said) {
            $said[] = 'stop';
            // Each as if it had been called afterwards.
            $server->stop();
            $server->process();
            $server->run();
            $server->after(0.0, fn () => $said[] = 'timer');
        });
        $server->every(0.001, fn () => $server->isStopped() && $said[] = 'timer');
        $server->stop(0);
        $server->run();
        usleep(2_000);
        $server->process();
        $server->run();
        $server->stop();
        self::assertSame(['stop'], $said->getArrayCopy());
        self::assertSame(0, $server->broadcast('nobody'));
    }

    public function testASignalThatStopsIsSeenAtOnceAlsoWithoutAsynchronousSignals(): void
    {
        foreach (['true', 'false'] as $async) {
            $script = self::script('
                pcntl_async_signals(' . $async . ');
                pcntl_signal(SIGTERM, fn () => $server->stop(0));
                $server->on("stop", fn () => print("stopped\n"));
                $server->after(0.0, fn () => print("running\n"));
                $server->run();');
            $script->line();
            self::assertSame('running', $script->line());
            $begin = microtime(true);
            $script->signal(SIGTERM);
            self::assertSame('stopped', $script->line());
            // A second is the longest wait, for a signal that came just before it.
            self::assertLessThan(1.5, microtime(true) - $begin);
            self::assertSame(0, $script->end()['exit']);
        }
    }
}
