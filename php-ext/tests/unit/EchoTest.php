<?php
declare(strict_types=1);

namespace WsEngine\Tests;

use WsEngine\Event;

/** Messages arrive as they were sent, both ways. */
final class EchoTest extends ServerTestCase
{
    /** @dataProvider messages */
    public function testAMessageArrivesAsItWasSentBothWays(string $data, bool $binary): void
    {
        $this->start();
        [$client, $conn] = $this->connect();
        $opcode = $binary ? Client::BINARY : Client::TEXT;
        $client->send($data, $opcode);

        $event = $this->next(Event::MESSAGE);
        self::assertSame($conn, $event->conn);
        self::assertSame($binary, $event->binary);
        self::assertTrue($event->data === $data, 'the data differs');

        self::assertTrue(ws_send($conn, $event->data, $event->binary));
        self::assertTrue($client->expect($opcode) === $data, 'the echo differs');
    }

    public static function messages(): array
    {
        return [
            'text' => ['Grüße, 世界 👋', false],
            'empty text' => ['', false],
            'one byte' => ['x', false],
            'text with NULs' => ["a\0b\0", false],
            'binary' => [implode('', array_map('chr', range(0, 255))), true],
            'empty binary' => ['', true],
            'binary that is no UTF-8' => ["\xFF\xFE\0", true],
            '125 bytes' => [str_repeat('a', 125), false],
            '126 bytes' => [str_repeat('b', 126), false],
            '65,535 bytes' => [str_repeat('c', 65535), false],
            '65,536 bytes' => [str_repeat('d', 65536), false],
            '1 MiB of text' => [str_repeat('0123456789abcdef', 65536), false],
            '1 MiB of bytes' => [random_bytes(1 << 20), true],
        ];
    }

    public function testMessagesKeepTheirOrder(): void
    {
        $this->start();
        [$client, $conn] = $this->connect();
        for ($i = 0; $i < 1000; $i++) {
            $client->send("m$i");
        }
        for ($seen = 0; $seen < 1000;) {
            foreach (ws_poll_events(64, 5.0) as $event) {
                self::assertSame("m$seen", $event->data);
                self::assertTrue(ws_send($conn, "r$seen"));
                $seen++;
            }
        }
        for ($i = 0; $i < 1000; $i++) {
            self::assertSame("r$i", $client->expect());
        }
    }

    public function testTheDataOfAnEventOutlivesTheNextPoll(): void
    {
        $this->start();
        [$client] = $this->connect();
        $client->send('first');
        $first = $this->next(Event::MESSAGE);
        $client->send('other');
        $this->next(Event::MESSAGE);
        self::assertSame('first', $first->data);
    }
}
