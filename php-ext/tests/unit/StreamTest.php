<?php
declare(strict_types=1);

namespace WsEngine\Tests;

use WsEngine\Event;

/** ws_event_stream() in stream_select. */
final class StreamTest extends ServerTestCase
{
    private function readable($stream, float $timeout): bool
    {
        $read = [$stream];
        $write = $except = null;
        return stream_select($read, $write, $except, 0, (int) ($timeout * 1e6)) === 1;
    }

    public function testItIsReadableWhileEventsWait(): void
    {
        $this->start();
        $stream = ws_event_stream();
        self::assertSame('stream', get_resource_type($stream));
        self::assertNull(ws_poll_event(0));
        self::assertFalse($this->readable($stream, 0.0));

        [$client] = [new Client($this->address)];
        self::assertTrue($this->readable($stream, 5.0));
        $this->next(Event::OPEN);
        self::assertFalse($this->readable($stream, 0.0));

        $client->send('one');
        $client->send('two');
        self::assertTrue($this->readable($stream, 5.0));
        $this->next(Event::MESSAGE);
        self::assertTrue($this->readable($stream, 5.0), 'one event is left');
        $this->next(Event::MESSAGE);
        self::assertFalse($this->readable($stream, 0.0));
    }

    public function testEventsThatCameBeforeTheStreamMakeItReadable(): void
    {
        $this->start();
        $client = new Client($this->address);
        $client->send('', Client::PING);
        $client->expect(Client::PONG);
        self::assertTrue($this->readable(ws_event_stream(), 5.0));
    }

    public function testReadingFromItTakesNothingAway(): void
    {
        $this->start();
        $stream = ws_event_stream();
        stream_set_blocking($stream, false);
        ws_poll_event(0);
        $client = new Client($this->address);
        self::assertTrue($this->readable($stream, 5.0));
        self::assertSame('', (string) @fread($stream, 8192));
        self::assertTrue($this->readable($stream, 0.0));
        $this->next(Event::OPEN);
        $client->send('x');
        $this->next(Event::MESSAGE);
    }

    public function testClosingItClosesNothingElse(): void
    {
        $this->start();
        $first = ws_event_stream();
        $second = ws_event_stream();
        fclose($first);
        ws_poll_event(0);
        $client = new Client($this->address);
        self::assertTrue($this->readable($second, 5.0));
        fclose($second);
        $this->next(Event::OPEN);
        $client->send('x');
        $this->next(Event::MESSAGE);
    }

    public function testAStopMakesItReadable(): void
    {
        $this->start();
        $stream = ws_event_stream();
        ws_poll_event(0);
        self::assertFalse($this->readable($stream, 0.0));
        ws_server_stop(0);
        self::assertTrue($this->readable($stream, 5.0));
        $this->next(Event::STOPPED);
    }
}
