<?php
declare(strict_types=1);

namespace WsEngine\Tests\Lib;

use WsEngine\Connection;
use WsEngine\Tests\Client;
use WsEngine\Tests\LibTestCase;

/** One client, as the script has it. */
final class ConnectionTest extends LibTestCase
{
    private Client $client;
    private Connection $connection;

    protected function setUp(): void
    {
        $this->listen();
        $this->client = $this->connect();
        $this->connection = current($this->server->connections());
    }

    public function testItSendsTextAndBytes(): void
    {
        self::assertTrue($this->connection->send('text'));
        self::assertTrue($this->connection->sendBinary("\xFF"));
        self::assertSame('text', $this->client->expect());
        self::assertSame("\xFF", $this->client->expect(Client::BINARY));
    }

    public function testJsonIsWrittenAsPeopleWouldWriteIt(): void
    {
        self::assertTrue($this->connection->json(['price' => 1.0, 'name' => 'Žofie/ž', 'list' => [1, 2]]));
        self::assertSame('{"price":1.0,"name":"Žofie/ž","list":[1,2]}', $this->client->expect());
        $this->expectException(\JsonException::class);
        $this->connection->json("\xFF");
    }

    public function testItClosesWithCodeAndReason(): void
    {
        self::assertTrue($this->connection->isOpen());
        self::assertTrue($this->connection->close(4000, 'enough'));
        self::assertFalse($this->connection->isOpen());
        self::assertSame([4000, 'enough'], $this->client->closed());
    }

    public function testKeptAfterItsEndItIsNoError(): void
    {
        $this->connection->attributes['name'] = 'ada';
        $this->client->close();
        $this->serve(fn () => $this->server->connections() === []);
        self::assertFalse($this->connection->isOpen());
        self::assertFalse($this->connection->send('x'));
        self::assertFalse($this->connection->sendBinary('x'));
        self::assertFalse($this->connection->json([]));
        self::assertFalse($this->connection->close());
        self::assertSame('ada', $this->connection->attributes['name']);
    }
}
