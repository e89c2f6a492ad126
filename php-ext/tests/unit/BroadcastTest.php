<?php
declare(strict_types=1);

namespace WsEngine\Tests;

final class BroadcastTest extends ServerTestCase
{
    public function testABroadcastReachesEveryConnection(): void
    {
        $this->start();
        $clients = [];
        for ($i = 0; $i < 5; $i++) {
            [$clients[]] = $this->connect();
        }
        self::assertSame(5, ws_broadcast('to all'));
        foreach ($clients as $client) {
            self::assertSame('to all', $client->expect());
        }
    }

    public function testABroadcastLeavesOutTheExcepted(): void
    {
        $this->start();
        [$first, $firstConn] = $this->connect();
        [$second, $secondConn] = $this->connect();
        [$third] = $this->connect();
        self::assertSame(1, ws_broadcast('to the third', except: [$firstConn, $secondConn]));
        self::assertSame(3, ws_broadcast("to \xFF all", binary: true));
        self::assertSame('to the third', $third->expect());
        foreach ([$first, $second, $third] as $client) {
            self::assertSame("to \xFF all", $client->expect(Client::BINARY));
        }
    }

    public function testABroadcastToNobody(): void
    {
        $this->start();
        self::assertSame(0, ws_broadcast('hello?'));
    }
}
