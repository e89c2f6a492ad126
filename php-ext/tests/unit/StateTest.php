<?php
declare(strict_types=1);

namespace WsEngine\Tests;

use WsEngine\Event;

/** What a script can ask: who is there, and the counters. */
final class StateTest extends ServerTestCase
{
    public function testConnections(): void
    {
        $this->start();
        self::assertSame([], ws_connections());
        [$first, $firstConn] = $this->connect();
        [, $secondConn] = [$second, $conn] = $this->connect();
        self::assertEqualsCanonicalizing([$firstConn, $secondConn], ws_connections());
        self::assertTrue(ws_is_open($firstConn));
        $first->close();
        $this->next(Event::CLOSE);
        self::assertSame([$secondConn], ws_connections());
        self::assertFalse(ws_is_open($firstConn));
    }

    public function testStats(): void
    {
        $this->start();
        [$client, $conn] = $this->connect();
        $client->send('12345');
        $this->next(Event::MESSAGE);
        ws_send($conn, 'abc');
        $client->expect();
        // The I/O thread counts when it has written, which the client may see first.
        for ($deadline = microtime(true) + 5.0; ws_stats()['messages_out'] < 1 && microtime(true) < $deadline;) {
            usleep(100);
        }
        $stats = ws_stats();
        self::assertContainsOnly('int', $stats);
        self::assertContainsOnly('string', array_keys($stats));
        self::assertSame(1, $stats['connections']);
        self::assertSame(1, $stats['opened']);
        self::assertSame(0, $stats['closed']);
        self::assertSame(1, $stats['messages_in']);
        self::assertSame(5, $stats['bytes_in']);
        self::assertSame(1, $stats['messages_out']);
        self::assertSame(0, $stats['events_pending']);
    }

    public function testAfterAStopNobodyIsThere(): void
    {
        $this->start();
        [, $conn] = [$client] = $this->connect();
        ws_server_stop(0);
        while (ws_poll_event() !== null) {
        }
        self::assertSame([], ws_connections());
        self::assertFalse(ws_send($conn, 'x'));
        self::assertFalse(ws_close($conn));
        self::assertFalse(ws_is_open($conn));
        self::assertSame(0, ws_broadcast('x'));
        self::assertFalse(ws_subscribe($conn, 'a'));
        self::assertFalse(ws_unsubscribe($conn, 'a'));
        self::assertSame(0, ws_publish('a', 'x'));
        self::assertSame(0, ws_stats()['connections']);
        ws_server_stop();
    }

    public function testServerInfo(): void
    {
        $info = ws_server_start(['listen' => ['127.0.0.1:0', '127.0.0.1:0']]);
        $this->address = $info->address;
        self::assertCount(2, $info->addresses);
        self::assertSame($info->addresses[0], $info->address);
        self::assertSame("127.0.0.1:$info->port", $info->address);
        foreach ($info->addresses as $address) {
            self::assertSame(101, (new Client($address))->status);
        }
    }

    public function testAFullServerRefuses(): void
    {
        $this->start(['max_connections' => 1]);
        [$seated] = $this->connect();
        self::assertSame(503, (new Client($this->address))->status);
        self::assertSame(1, ws_stats()['refused']);
        self::assertNull(ws_poll_event(0), 'a refused handshake is no event');
    }
}
