<?php
declare(strict_types=1);

namespace WsEngine\Tests;

use PHPUnit\Framework\TestCase;
use WsEngine\Event;

/** Server and client in one process: the engine answers on its own threads while the test waits as a client. */
abstract class ServerTestCase extends TestCase
{
    protected string $address;

    /** @param array<string, mixed> $options */
    protected function start(array $options = []): void
    {
        $this->address = ws_server_start($options + ['listen' => '127.0.0.1:0'])->address;
    }

    protected function tearDown(): void
    {
        if (isset($this->address)) {
            ws_server_stop(0);
        }
    }

    /** A client, and the id that the server knows it by. */
    protected function connect(string $path = '/', array $headers = []): array
    {
        $client = new Client($this->address, $path, $headers);
        self::assertSame(101, $client->status);
        return [$client, $this->next(Event::OPEN)->conn];
    }

    /** With handshake_events: a client that has sent its request, and the event by which the script is asked. */
    protected function ask(string $path = '/', array $headers = []): array
    {
        $client = new Client($this->address, $path, $headers, wait: false);
        return [$client, $this->next(Event::HANDSHAKE)];
    }

    /** The next event, which has to be of this type. */
    protected function next(string $type, float $timeout = 5.0): Event
    {
        $event = ws_poll_event($timeout);
        self::assertNotNull($event, "no event came, expected \"$type\"");
        self::assertSame($type, $event->type);
        return $event;
    }
}
