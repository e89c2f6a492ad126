<?php
declare(strict_types=1);

namespace WsEngine\Tests;

use WsEngine\Event;

final class EventTest extends ServerTestCase
{
    public function testOpenComesFirstAndCloseLast(): void
    {
        $this->start();
        $client = new Client($this->address);
        $client->send('one');
        $client->send('two');
        $client->close();
        $events = [];
        while ($events === [] || end($events)->type !== Event::CLOSE) {
            $events = [...$events, ...ws_poll_events(timeout: 5.0)];
        }
        self::assertSame(['open', 'message', 'message', 'close'], array_column($events, 'type'));
        self::assertSame([null, 'one', 'two', ''], array_column($events, 'data'));
        self::assertCount(1, array_unique(array_column($events, 'conn')));
        self::assertGreaterThan(0, $events[0]->conn);
    }

    public function testOpenCarriesTheRequest(): void
    {
        $this->start(['subprotocols' => ['chat.v2', 'chat.v1']]);
        $headers = [
            'Cookie' => 'a=1', 'COOKIE' => 'b=2', 'X-Many' => 'one', 'x-many' => 'two', '17' => 'number',
            'Sec-WebSocket-Protocol' => 'chat.v1',
        ];
        $client = new Client($this->address, '/room/7?name=J%C3%BCrgen&x', $headers);
        $request = $this->next(Event::OPEN)->request;

        self::assertSame('/room/7', $request->path);
        self::assertSame('name=J%C3%BCrgen&x', $request->query);
        self::assertSame('a=1; b=2', $request->headers['cookie']);
        self::assertSame('one, two', $request->headers['x-many']);
        self::assertSame('number', $request->headers['17']);
        self::assertSame($this->address, $request->headers['host']);
        self::assertMatchesRegularExpression('/^127\.0\.0\.1:\d+$/', $request->peer);
        self::assertSame('chat.v1', $request->subprotocol);
        self::assertSame('chat.v1', $client->headers['sec-websocket-protocol']);
        self::assertFalse($request->tls);
    }

    public function testARequestWithoutQueryAndSubprotocol(): void
    {
        $this->start();
        new Client($this->address);
        $request = $this->next(Event::OPEN)->request;
        self::assertSame(['/', '', null], [$request->path, $request->query, $request->subprotocol]);
    }

    public function testEventsThatAreNotOpenHaveNoRequest(): void
    {
        $this->start();
        [$client] = $this->connect();
        $client->send('x');
        $event = $this->next(Event::MESSAGE);
        self::assertNull($event->request);
        self::assertSame([0, false], [$event->code, $event->clean]);
    }

    public function testADrainFollowsAFullQueue(): void
    {
        $this->start(['send_queue_bytes' => 65536]);
        [$client, $conn] = $this->connect();
        $data = str_repeat('x', 65536);
        // What the sockets themselves take is no queue: fill them first.
        for ($sent = 0; ws_send($conn, $data); $sent++) {
            self::assertLessThan(10_000, $sent, 'the queue is never full');
        }
        self::assertTrue(ws_is_open($conn));
        for ($received = 0; $received < $sent; $received++) {
            self::assertSame(65536, strlen($client->expect()));
        }
        $event = $this->next(Event::DRAIN);
        self::assertSame([$conn, 0], [$event->conn, $event->code]);
        self::assertTrue(ws_send($conn, 'again'));
        self::assertSame('again', $client->expect());
    }

    public function testAStopEndsWithItsEvent(): void
    {
        $this->start();
        [$client, $conn] = $this->connect();
        ws_server_stop(5.0);
        self::assertSame(1001, $client->closed()[0]);
        $client->answerClose(1001);
        self::assertSame([$conn, 1001], [($close = $this->next(Event::CLOSE))->conn, $close->code]);
        $this->next(Event::STOPPED);
        self::assertNull(ws_poll_event(), 'a stopped server is not waited for');
        self::assertSame([], ws_poll_events());
    }
}
