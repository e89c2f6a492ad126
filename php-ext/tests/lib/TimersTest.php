<?php
declare(strict_types=1);

namespace WsEngine\Tests\Lib;

use WsEngine\Connection;
use WsEngine\Server;
use WsEngine\Tests\LibTestCase;
use WsEngine\Timer;

/** What a server does later, once or again and again. */
final class TimersTest extends LibTestCase
{
    /** @var \ArrayObject<int, mixed> */
    private \ArrayObject $said;

    protected function setUp(): void
    {
        $this->said = new \ArrayObject();
        $this->listen();
    }

    private function say(string $what): \Closure
    {
        return function () use ($what): void {
            $this->said[] = $what;
        };
    }

    public function testThoseDueFirstComeFirstAndEqualOnesInTheOrderTheyWereAdded(): void
    {
        $this->server->after(0.003, $this->say('last'))->after(0.0, $this->say('first'))
            ->after(0.002, $this->say('third'))->after(0.001, $this->say('second'));
        usleep(4_000);
        $this->server->process();
        self::assertSame(['first', 'second', 'third', 'last'], $this->said->getArrayCopy());
    }

    public function testOneThatRepeatsKeepsItsRhythmAndLeavesOutWhatIsTooLate(): void
    {
        $begin = hrtime(true) / 1e9;
        $this->server->every(0.01, function (Timer $timer) use ($begin): void {
            $this->said[] = hrtime(true) / 1e9 - $begin;
            if (count($this->said) === 1) {
                usleep(35_000);
            }
            if (count($this->said) === 4) {
                $timer->cancel();
            }
        });
        $this->serve(fn () => count($this->said) === 4);
        [$first, $second, $third, $fourth] = $this->said->getArrayCopy();
        self::assertGreaterThanOrEqual(0.01, $first);
        self::assertGreaterThanOrEqual($first + 0.035, $second, 'not at once for those that it missed');
        // At a multiple of 10 ms after the begin, a little late as every timer is, and never early.
        self::assertGreaterThanOrEqual(ceil($second * 100 - 1) / 100, $third);
        self::assertGreaterThanOrEqual(0.005, $fourth - $third);
    }

    public function testRunWakesForThemAndGoesOnAfterOneThatThrows(): void
    {
        $this->server->on('error', function (\Throwable $e, ?Connection $c): void {
            $this->said[] = [$e->getMessage(), $c];
            if (count($this->said) === 2) {
                $this->server->stop(0);
            }
        });
        $this->server->every(0.001, fn () => throw new \RuntimeException('again'));
        $this->server->run();
        self::assertGreaterThan(1, count($this->said));
        self::assertSame(['again', null], $this->said[0]);
    }

    public function testACancelledOneIsNotCalled(): void
    {
        $timer = $this->server->timer(0.001, $this->say('never'));
        $again = $this->server->timer(0.001, $this->say('never'), repeat: true);
        $this->server->timer(0.0, function () use ($timer, $again): void {
            $timer->cancel();
            $again->cancel();
            $again->cancel();
        });
        self::assertTrue($timer->isActive());
        usleep(2_000);
        $this->server->process();
        usleep(2_000);
        $this->server->process();
        self::assertFalse($timer->isActive());
        self::assertFalse($again->isActive());
        self::assertCount(0, $this->said);
    }

    public function testOnceMeansOnce(): void
    {
        $timer = $this->server->timer(0.0, fn (Timer $timer) => $this->said[] = $timer->isActive());
        $this->server->process();
        $this->server->process();
        self::assertSame([false], $this->said->getArrayCopy());
        self::assertFalse($timer->isActive());
        self::assertSame([0.0, false], [$timer->seconds, $timer->repeats]);
    }

    public function testOneThatSetsItselfAgainLetsEventsThrough(): void
    {
        $again = function () use (&$again): void {
            $this->server->after(0.0, $again);
        };
        $again();
        $client = $this->connect();
        $this->server->broadcast('through');
        self::assertSame('through', $client->expect());
    }

    public function testSlowHandlersOfMessagesDoNotHoldThemUp(): void
    {
        $this->server->on('message', function (): void {
            $this->said[] = 'message';
            usleep(2_000);
        });
        $client = $this->connect();
        for ($i = 0; $i < 50; $i++) {
            $client->send('x');
        }
        while ($this->server->stats()['events_pending'] < 50) {
            usleep(100);
        }
        $this->server->every(0.01, $this->say('timer'));
        $this->server->process();
        $said = $this->said->getArrayCopy();
        self::assertGreaterThanOrEqual(5, count(array_keys($said, 'timer', true)), '50 messages took 100 ms');
        self::assertLessThan(15, array_search('timer', $said, true));
    }

    /** @dataProvider mistakes */
    public function testMistakesNameWhatIsAllowed(float $seconds, bool $repeat, string $error): void
    {
        $this->expectException(\ValueError::class);
        $this->expectExceptionMessage($error);
        $this->server->timer($seconds, fn () => null, $repeat);
    }

    public static function mistakes(): array
    {
        return [
            [-1.0, false, 'a timer takes seconds from 0 on, -1 given'],
            [NAN, false, 'a timer takes seconds from 0 on, NAN given'],
            [INF, true, 'a timer takes seconds from 0.001 on, INF given'],
            [0.0, true, 'a timer takes seconds from 0.001 on, 0 given'],
        ];
    }

    public function testACancelledOneHoldsNothing(): void
    {
        $held = new \stdClass();
        $weak = \WeakReference::create($held);
        $timer = $this->server->timer(3600.0, function () use ($held): void {
        });
        unset($held);
        $timer->cancel();
        unset($timer);
        self::assertNull($weak->get());
    }

    public function testToAddAndCancelOneForEachMessageTakesNoMemory(): void
    {
        $kept = $this->server->timer(0.01, $this->say('kept'));
        $round = function (): void {
            for ($i = 0; $i < 1_000; $i++) {
                $this->server->timer(3600.0, fn () => null)->cancel();
            }
        };
        $round();
        $before = memory_get_usage();
        for ($i = 0; $i < 100; $i++) {
            $round();
        }
        self::assertLessThan($before + 65_536, memory_get_usage());
        self::assertTrue($kept->isActive());
        $this->serve(fn () => count($this->said) === 1);
    }

    public function testManyThatAreCancelledAtRandomLeaveTheOthersInOrder(): void
    {
        mt_srand(7);
        $expected = [];
        for ($i = 0; $i < 2_000; $i++) {
            $due = mt_rand(0, 5_000) / 1e6;
            $timers[$i] = [$due, $this->server->timer($due, fn (Timer $timer) => $this->said[] = $timer)];
        }
        foreach ($timers as [$due, $timer]) {
            mt_rand(0, 9) > 0 ? $timer->cancel() : $expected[] = $timer;
        }
        self::assertNotEmpty($expected);
        usleep(20_000);
        $this->server->process();
        self::assertCount(count($expected), $this->said);
        self::assertEqualsCanonicalizing(array_map('spl_object_id', $expected), array_map('spl_object_id', (array) $this->said));
    }
}
