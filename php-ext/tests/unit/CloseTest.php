<?php
declare(strict_types=1);

namespace WsEngine\Tests;

use WsEngine\Event;

final class CloseTest extends ServerTestCase
{
    public function testThePeerCloses(): void
    {
        $this->start();
        [$client, $conn] = $this->connect();
        $client->close(3456, 'schönen Tag');

        $event = $this->next(Event::CLOSE);
        self::assertSame([$conn, 3456, 'schönen Tag', true], [$event->conn, $event->code, $event->data, $event->clean]);
        self::assertSame(3456, $client->closed()[0]);
        self::assertTrue($client->ended());
        self::assertFalse(ws_is_open($conn));
        self::assertFalse(ws_send($conn, 'too late'));
        self::assertFalse(ws_close($conn));
    }

    public function testTheServerCloses(): void
    {
        $this->start();
        [$client, $conn] = $this->connect();
        self::assertTrue(ws_send($conn, 'before'));
        self::assertTrue(ws_close($conn, 4001, 'enough'));
        self::assertFalse(ws_is_open($conn));
        self::assertFalse(ws_send($conn, 'after'));

        self::assertSame('before', $client->expect());
        self::assertSame([4001, 'enough'], $client->closed());
        $client->close(4001);
        $event = $this->next(Event::CLOSE);
        self::assertSame([4001, 'enough', true], [$event->code, $event->data, $event->clean]);
    }

    public function testThePeerVanishes(): void
    {
        $this->start();
        [$client, $conn] = $this->connect();
        $client->cut();
        $event = $this->next(Event::CLOSE);
        self::assertSame([$conn, 1006, false], [$event->conn, $event->code, $event->clean]);
    }

    public function testACloseFrameWithoutCode(): void
    {
        $this->start();
        [$client] = $this->connect();
        $client->send('', Client::CLOSE);
        self::assertSame(1005, $this->next(Event::CLOSE)->code);
    }

    public function testTextThatIsNotUtf8EndsTheConnection(): void
    {
        $this->start();
        [$client] = $this->connect();
        $client->send("\xC3\x28");
        self::assertSame(1007, $client->closed()[0]);
        self::assertSame(1007, $this->next(Event::CLOSE)->code);
    }

    public function testAMessageOverTheLimitEndsTheConnection(): void
    {
        $this->start(['max_message_bytes' => 100]);
        [$client] = $this->connect();
        $client->send(str_repeat('x', 101));
        self::assertSame(1009, $client->closed()[0]);
        self::assertSame(1009, $this->next(Event::CLOSE)->code);
    }

    public function testUnknownConnectionsAreJustGone(): void
    {
        $this->start();
        foreach ([0, -1, 1, PHP_INT_MAX, PHP_INT_MIN] as $conn) {
            self::assertFalse(ws_send($conn, 'x'));
            self::assertFalse(ws_close($conn));
            self::assertFalse(ws_is_open($conn));
        }
    }
}
