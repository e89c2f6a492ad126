<?php
declare(strict_types=1);

namespace WsEngine\Tests;

use WsEngine\Event;

/** The option handshake_events: the script decides who comes in. */
final class HandshakeTest extends ServerTestCase
{
    /** @param array<string, mixed> $options */
    protected function start(array $options = []): void
    {
        parent::start($options + ['handshake_events' => true]);
    }

    public function testTheScriptIsToldWhoAsks(): void
    {
        $this->start();
        [, $event] = [$client] = $this->ask('/room/7?name=x', [
            'Cookie' => 'token=abc; theme="dark blue"; token=later; no cookie',
            'Origin' => "http://$this->address",
            'Sec-WebSocket-Protocol' => 'chat.v2, chat.v1',
        ]);
        self::assertGreaterThan(0, $event->conn);
        self::assertSame([null, 0, false, false], [$event->data, $event->code, $event->clean, $event->binary]);
        $request = $event->request;
        self::assertSame(['GET', '/room/7', 'name=x'], [$request->method, $request->path, $request->query]);
        self::assertSame(['token' => 'abc', 'theme' => 'dark blue'], $request->cookies);
        self::assertSame('token=abc; theme="dark blue"; token=later; no cookie', $request->headers['cookie']);
        self::assertSame("http://$this->address", $request->origin);
        self::assertSame(['chat.v2', 'chat.v1'], $request->subprotocols);
        self::assertNull($request->subprotocol, 'nothing is agreed on yet');
        self::assertMatchesRegularExpression('/^127\.0\.0\.1:\d+$/', $request->peer);
        self::assertFalse($request->tls);
    }

    public function testWhatWasNotSentIsEmpty(): void
    {
        $this->start();
        $request = ([$client] = $this->ask())[1]->request;
        self::assertSame([[], null, []], [$request->cookies, $request->origin, $request->subprotocols]);
    }

    public function testAClientIsLetIn(): void
    {
        $this->start();
        [$client, $event] = $this->ask('/', ['Sec-WebSocket-Protocol' => 'chat.v2, chat.v1']);
        $headers = ['Set-Cookie' => ['a=1; Path=/', 'b=2'], 'X-Seen' => 3];
        self::assertTrue(ws_accept($event->conn, 'chat.v1', $headers));

        self::assertSame(101, $client->answer());
        self::assertSame('chat.v1', $client->headers['sec-websocket-protocol']);
        self::assertSame('a=1; Path=/, b=2', $client->headers['set-cookie']);
        self::assertSame('3', $client->headers['x-seen']);
        $open = $this->next(Event::OPEN);
        self::assertSame([$event->conn, 'chat.v1'], [$open->conn, $open->request->subprotocol]);
        $client->send('hello');
        self::assertSame('hello', $this->next(Event::MESSAGE)->data);
        self::assertTrue(ws_send($open->conn, 'welcome'));
        self::assertSame('welcome', $client->expect());
    }

    public function testWithoutAChoiceTheOptionChooses(): void
    {
        $this->start(['subprotocols' => ['chat.v3', 'chat.v1']]);
        [$client, $event] = $this->ask('/', ['Sec-WebSocket-Protocol' => 'chat.v2, chat.v1']);
        self::assertTrue(ws_accept($event->conn));
        self::assertSame(101, $client->answer());
        self::assertSame('chat.v1', $client->headers['sec-websocket-protocol']);
    }

    public function testThereIsNoConnectionBeforeTheDecisionAndOneRightAfterIt(): void
    {
        $this->start();
        [$client, $event] = $this->ask();
        self::assertFalse(ws_is_open($event->conn));
        self::assertFalse(ws_send($event->conn, 'early'));
        self::assertFalse(ws_close($event->conn));
        self::assertSame([], ws_connections());

        ws_accept($event->conn);
        $client->answer();
        $this->next(Event::OPEN);
        self::assertTrue(ws_is_open($event->conn));
        self::assertSame([$event->conn], ws_connections());
    }

    public function testAClientIsTurnedAway(): void
    {
        $this->start();
        [$client, $event] = $this->ask();
        $headers = ['WWW-Authenticate' => ['Bearer', 'Basic realm="chat"']];
        self::assertTrue(ws_reject($event->conn, 401, 'Who are you? Ζεύς?', $headers));

        self::assertSame(401, $client->answer());
        self::assertSame('Bearer, Basic realm="chat"', $client->headers['www-authenticate']);
        self::assertSame('text/plain; charset=utf-8', $client->headers['content-type']);
        self::assertSame('Who are you? Ζεύς?', $client->body());
        self::assertNull(ws_poll_event(0), 'who was turned away never opens');
        self::assertSame([1, 0], [ws_stats()['refused'], ws_stats()['opened']]);
    }

    public function testARejectionIs403OrWhatIsAskedFor(): void
    {
        $this->start();
        [$client, $event] = $this->ask();
        self::assertTrue(ws_reject($event->conn));
        self::assertSame([403, ''], [$client->answer(), $client->body()]);

        [$client, $event] = $this->ask();
        $headers = ['Location' => '/login', 'Content-Type' => 'text/html'];
        self::assertTrue(ws_reject($event->conn, 302, '<a href="/login">', $headers));
        self::assertSame(302, $client->answer());
        self::assertSame(['/login', 'text/html'], [$client->headers['location'], $client->headers['content-type']]);
    }

    public function testADecisionIsMadeOnce(): void
    {
        $this->start();
        [$client, $event] = $this->ask();
        self::assertTrue(ws_accept($event->conn));
        self::assertFalse(ws_accept($event->conn));
        self::assertFalse(ws_reject($event->conn));
        self::assertSame(101, $client->answer());
        $this->next(Event::OPEN);
        self::assertFalse(ws_reject($event->conn), 'a connection is not turned away but closed');

        [$client, $event] = $this->ask();
        self::assertTrue(ws_reject($event->conn));
        self::assertFalse(ws_accept($event->conn));
        self::assertSame(403, $client->answer());
    }

    public function testWhoNeverAskedCannotBeDecidedOn(): void
    {
        $this->start();
        foreach ([0, 1, -1, 999, PHP_INT_MAX, PHP_INT_MIN] as $unknown) {
            self::assertFalse(ws_accept($unknown));
            self::assertFalse(ws_reject($unknown));
        }
    }

    public function testWhoIsNotDecidedOnIsRefusedInTime(): void
    {
        $this->start(['handshake_timeout_ms' => 1000]);
        [$client, $event] = $this->ask();
        self::assertSame(408, $client->answer());
        self::assertSame("The server did not decide on this handshake in time.\n", $client->body());
        self::assertFalse(ws_accept($event->conn));
        self::assertNull(ws_poll_event(0));

        [$client, $next] = $this->ask();
        self::assertNotSame($event->conn, $next->conn);
        self::assertTrue(ws_accept($next->conn), 'its place is free again');
        self::assertSame(101, $client->answer());
    }

    public function testTheOthersGoOnWhileOneWaits(): void
    {
        $this->start();
        [$waiting, $undecided] = $this->ask();
        [$client, $event] = $this->ask();
        self::assertTrue(ws_accept($event->conn));
        self::assertSame(101, $client->answer());
        $this->next(Event::OPEN);
        $client->send('still there?');
        self::assertSame('still there?', $this->next(Event::MESSAGE)->data);
        self::assertSame(1, ws_broadcast('to those who are in'));
        self::assertSame('to those who are in', $client->expect());

        self::assertTrue(ws_accept($undecided->conn));
        self::assertSame(101, $waiting->answer());
        self::assertSame($undecided->conn, $this->next(Event::OPEN)->conn);
    }

    public function testWhoHasLeftDoesNotStay(): void
    {
        $this->start();
        [$client, $event] = $this->ask();
        $client->cut();
        // Whether the engine has seen it go or not: there is no connection that nobody hears the end of.
        if (ws_accept($event->conn)) {
            $this->next(Event::OPEN);
            self::assertSame([$event->conn, 1006], [($close = $this->next(Event::CLOSE))->conn, $close->code]);
        }
        self::assertSame([], ws_connections());
    }

    public function testTheScriptIsNotAskedWhatTheEngineRefuses(): void
    {
        $this->start(['paths' => '/chat']);
        self::assertSame(404, (new Client($this->address))->status);
        $foreign = ['Origin' => 'http://evil.example'];
        self::assertSame(403, (new Client($this->address, '/chat', $foreign))->status);
        self::assertSame(426, (new Client($this->address, '/chat', ['Sec-WebSocket-Version' => '12']))->status);
        self::assertNull(ws_poll_event(0));
    }

    public function testAStopDoesNotWaitForDecisions(): void
    {
        $this->start();
        [$client, $event] = $this->ask();
        ws_server_stop(0);
        $this->next(Event::STOPPED);
        self::assertFalse(ws_accept($event->conn));
        self::assertTrue($client->ended());
    }
}
