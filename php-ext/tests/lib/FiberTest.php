<?php
declare(strict_types=1);

namespace WsEngine\Tests\Lib;

use Fiber;
use WsEngine\Connection;
use WsEngine\Tests\LibTestCase;

/** Handlers that suspend the fiber they run in, as those of event loops with fibers do while they wait. */
final class FiberTest extends LibTestCase
{
    /** @var \ArrayObject<int, string> */
    private \ArrayObject $said;
    /** @var list<array{float, Fiber}> when to resume which */
    private array $waiting = [];

    protected function setUp(): void
    {
        $this->said = new \ArrayObject();
        $this->listen();
    }

    /** What a handler calls: others go on meanwhile. */
    private function delay(float $seconds): void
    {
        $this->waiting[] = [microtime(true) + $seconds, Fiber::getCurrent()];
        Fiber::suspend();
    }

    /** A small loop: each callback in a fiber of its own. */
    private function loop(callable $until): void
    {
        $deadline = microtime(true) + 5.0;
        while (!$until()) {
            self::assertLessThan($deadline, microtime(true), 'it does not come about: ' . json_encode($this->said));
            $read = [$this->server->stream()];
            $write = $except = null;
            if (stream_select($read, $write, $except, 0, 1_000) === 1) {
                (new Fiber($this->server->process(...)))->start();
            }
            foreach ($this->waiting as $key => [$due, $fiber]) {
                if ($due <= microtime(true)) {
                    unset($this->waiting[$key]);
                    $fiber->resume();
                }
            }
        }
    }

    private function says(string $what): bool
    {
        return in_array($what, $this->said->getArrayCopy(), true);
    }

    private function waitForEvents(int $count): void
    {
        while ($this->server->stats()['events_pending'] < $count) {
            usleep(100);
        }
    }

    public function testOneThatWaitsHoldsUpNobodyElse(): void
    {
        $this->server->on('message', function (Connection $c, string $data): void {
            $this->said[] = "begin $data";
            if ($data === 'slow') {
                $this->delay(0.05);
            }
            $this->said[] = "end $data";
        });
        $this->server->on('message', fn (Connection $c, string $data) => $this->said[] = "second $data");
        $client = $this->connect();
        $other = $this->connect();
        $client->send('slow');
        $this->waitForEvents(1);
        $client->send('1');
        $other->send('2');
        $this->waitForEvents(3);
        // Once readable, the stream has to tell of what stands behind the slow one too.
        $this->loop(fn () => $this->says('second slow'));
        self::assertSame('begin slow', $this->said[0]);
        self::assertSame(['end slow', 'second slow'], array_slice($this->said->getArrayCopy(), -2));
        self::assertCount(9, $this->said);
    }

    public function testManyMayWaitAtOnce(): void
    {
        $this->server->on('message', function (Connection $c, string $data): void {
            $this->delay(mt_rand(0, 20) / 1000);
            $c->send($data);
        });
        $clients = [$this->connect(), $this->connect(), $this->connect()];
        for ($i = 0; $i < 100; $i++) {
            foreach ($clients as $client) {
                $client->send((string) $i);
            }
        }
        $this->loop(fn () => $this->server->stats()['messages_out'] === 300);
        foreach ($clients as $client) {
            $got = array_map(fn () => (int) $client->expect(), range(1, 100));
            sort($got);
            self::assertSame(range(0, 99), $got);
        }
    }

    public function testTheClientMayLeaveMeanwhile(): void
    {
        $this->server->on('message', function (Connection $c): void {
            while (!$this->says('close')) {
                $this->delay(0.001);
            }
            $this->said[] = var_export($c->send('late'), true);
        });
        $this->server->on('close', fn () => $this->said[] = 'close');
        $client = $this->connect();
        $client->send('x');
        $client->close();
        $this->loop(fn () => count($this->said) === 2);
        self::assertSame(['close', 'false'], $this->said->getArrayCopy());
        self::assertSame([], $this->server->connections());
    }

    public function testAClosedConnectionIsThereUntilItsHandlerHasEnded(): void
    {
        $this->server->on('close', function (Connection $c): void {
            $this->delay(0.02);
            $this->said[] = count($this->server->connections()) . ' there';
        });
        $client = $this->connect();
        $client->close();
        $this->loop(fn () => count($this->said) === 1);
        self::assertSame('1 there', $this->said[0]);
        self::assertSame([], $this->server->connections());
    }

    public function testAnExceptionAfterTheWaitGoesToTheHandlersOfErrors(): void
    {
        $this->server->on('error', fn (\Throwable $e) => $this->said[] = $e->getMessage());
        $this->server->on('message', function (): void {
            $this->delay(0.01);
            throw new \RuntimeException('after the wait');
        });
        $client = $this->connect();
        $client->send('x');
        $this->loop(fn () => $this->says('after the wait'));
        $this->server->broadcast('still there');
        self::assertSame('still there', $client->expect());
    }

    public function testATimerThatWaitsHoldsUpNoOtherAndIsNotCalledTwice(): void
    {
        $this->server->after(0.0, function (): void {
            $this->said[] = 'begin';
            $this->delay(0.02);
            $this->said[] = 'end';
        });
        $this->server->after(0.0, fn () => $this->said[] = 'other');
        (new Fiber($this->server->process(...)))->start();
        $this->server->process();
        $this->server->process();
        self::assertSame(['begin', 'other'], $this->said->getArrayCopy());
        $this->loop(fn () => $this->says('end'));
        self::assertCount(3, $this->said);
    }

    public function testRunInAFiberGoesOnWhereItWasLeft(): void
    {
        $this->server->on('message', function (Connection $c, string $data): void {
            $this->said[] = "begin $data";
            $data === 'slow' && Fiber::suspend();
            $this->said[] = "end $data";
            $data === 'last' && $this->server->stop(0);
        });
        $client = $this->connect();
        foreach (['slow', 'next', 'last'] as $data) {
            $client->send($data);
        }
        $this->waitForEvents(3);
        $fiber = new Fiber($this->server->run(...));
        $fiber->start();
        self::assertSame(['begin slow'], $this->said->getArrayCopy());
        $fiber->resume();
        self::assertTrue($fiber->isTerminated());
        self::assertSame(
            ['begin slow', 'end slow', 'begin next', 'end next', 'begin last', 'end last'],
            $this->said->getArrayCopy(),
        );
    }

    protected function tearDown(): void
    {
        $this->waiting = [];
        parent::tearDown();
    }
}
