<?php
declare(strict_types=1);

namespace WsEngine\Tests;

use WsEngine\Event;

final class PollTest extends ServerTestCase
{
    public function testPollingDoesNotWaitWithTimeoutZero(): void
    {
        $this->start();
        $begin = microtime(true);
        for ($i = 0; $i < 100; $i++) {
            self::assertNull(ws_poll_event(0));
            self::assertSame([], ws_poll_events(10, 0));
        }
        self::assertLessThan(2.0, microtime(true) - $begin);
    }

    /** @dataProvider timeouts */
    public function testPollingWaitsForItsTimeout(float $timeout): void
    {
        $this->start();
        $begin = microtime(true);
        self::assertNull(ws_poll_event($timeout));
        $took = microtime(true) - $begin;
        self::assertGreaterThanOrEqual($timeout, $took);
        self::assertLessThan($timeout + 2.0, $took);
    }

    public static function timeouts(): array
    {
        return [[0.001], [0.05], [0.3]];
    }

    public function testAnEventEndsTheWaitAtOnce(): void
    {
        $this->start();
        $begin = microtime(true);
        $sender = new Script(
            '[$address, $code] = ["' . $this->address . '", "' . __DIR__ . '/../support/Client.php"]; require $code; ' .
            'usleep(50_000); $c = new WsEngine\Tests\Client($address); $c->receive(5.0);'
        );
        self::assertSame(Event::OPEN, ws_poll_event(-1)->type);
        self::assertLessThan(3.0, microtime(true) - $begin);
        ws_broadcast('thank you');
        self::assertSame(0, $sender->end()['exit']);
    }

    public function testABatchOfLargeMessagesFitsIntoTheMemoryOfAScript(): void
    {
        $this->start(['event_queue_bytes' => 64 << 20]);
        [$client] = $this->connect();
        // Of odd lengths: no part of a message may go astray when it is copied.
        $messages = array_map(fn (int $i) => str_repeat(chr(97 + $i % 26), 100_003 + $i), range(0, 19));
        foreach ($messages as $message) {
            $client->send($message);
        }
        while (ws_stats()['messages_in'] < count($messages)) {
            usleep(1_000);
        }
        $seen = [];
        while (count($seen) < count($messages)) {
            $events = ws_poll_events(256, 5.0);
            self::assertLessThanOrEqual(3, count($events));
            $seen = [...$seen, ...array_column($events, 'data')];
        }
        self::assertSame($messages, $seen);
    }

    public function testABatchHasAtMostMaxEventsAndLosesNone(): void
    {
        $this->start();
        [$client] = $this->connect();
        for ($i = 0; $i < 100; $i++) {
            $client->send("m$i");
        }
        $seen = [];
        while (count($seen) < 100) {
            $events = ws_poll_events(7, 5.0);
            self::assertGreaterThanOrEqual(1, count($events));
            self::assertLessThanOrEqual(7, count($events));
            self::assertTrue(array_is_list($events));
            $seen = [...$seen, ...array_column($events, 'data')];
        }
        self::assertSame(array_map(fn ($i) => "m$i", range(0, 99)), $seen);
    }

    public function testALargeBatch(): void
    {
        $this->start();
        [$client] = $this->connect();
        for ($i = 0; $i < 1000; $i++) {
            $client->send("m$i");
        }
        $client->send('', Client::PING);
        $client->expect(Client::PONG);
        self::assertCount(1000, ws_poll_events(5000, 5.0));
    }

    public function testBothWaysOfPollingShareTheBatch(): void
    {
        $this->start();
        [$client] = $this->connect();
        foreach (['a', 'b', 'c'] as $data) {
            $client->send($data);
        }
        self::assertSame('a', ws_poll_event(5.0)->data);
        self::assertSame('b', ws_poll_events(1, 5.0)[0]->data);
        self::assertSame('c', ws_poll_event(5.0)->data);
    }

    public function testHugeTimeoutsAreNoError(): void
    {
        $this->start();
        foreach ([1e10, 1e300, INF, PHP_FLOAT_MAX, -INF, -1e300] as $timeout) {
            new Client($this->address);
            self::assertSame(Event::OPEN, ws_poll_event($timeout)->type);
            self::assertSame(Event::CLOSE, ws_poll_event($timeout)->type);
        }
    }
}
