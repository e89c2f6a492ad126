<?php
declare(strict_types=1);

namespace WsEngine\Tests;

/** What can be wrong about handshake_events and about a decision, and the words for it. */
final class HandshakeMistakesTest extends ServerTestCase
{
    /** @dataProvider switches */
    public function testItIsSwitchedOnAndOff(mixed $value, string $first): void
    {
        $this->start(['handshake_events' => $value]);
        $client = new Client($this->address, wait: false);
        $this->next($first);
    }

    public static function switches(): array
    {
        return [[true, 'handshake'], ['on', 'handshake'], [false, 'open'], ['off', 'open'], [null, 'open']];
    }

    /** @dataProvider neitherOnNorOff */
    public function testItIsOnOrOffAndNothingElse(mixed $value, string $named): void
    {
        $this->expectException(\WsEngine\ConfigException::class);
        $this->expectExceptionMessage("option \"handshake_events\": $named is not allowed; allowed is on or off");
        $this->start(['handshake_events' => $value]);
    }

    public static function neitherOnNorOff(): array
    {
        return [[1, '"1"'], ['yes', '"yes"'], [[true], 'a value of type array with an item of type bool']];
    }

    /** @dataProvider mistakes */
    public function testMistakesNameWhatIsWrongAndDecideNothing(callable $decide, string $error): void
    {
        $this->start(['handshake_events' => true]);
        [$client, $event] = $this->ask('/', ['Sec-WebSocket-Protocol' => 'chat.v2, chat.v1']);
        try {
            $decide($event->conn);
            self::fail('it was carried out');
        } catch (\ValueError | \TypeError $e) {
            self::assertSame($error, $e->getMessage());
        }
        self::assertTrue(ws_accept($event->conn));
        self::assertSame(101, $client->answer());
    }

    public static function mistakes(): iterable
    {
        $accept = fn (mixed $headers) => fn (int $conn) => ws_accept($conn, null, $headers);
        $headers = 'ws_accept(): Argument #3 ($headers)';
        yield [
            fn ($conn) => ws_accept($conn, 'chat.v9'),
            'ws_accept(): Argument #2 ($subprotocol) cannot be used: subprotocol "chat.v9" was not offered; the client '
            . 'offers chat.v2, chat.v1',
        ];
        yield [fn ($conn) => ws_accept($conn, "\xFF"), 'ws_accept(): Argument #2 ($subprotocol) must be valid UTF-8'];
        yield [
            $accept(['Set-Cookie: a=1']),
            "$headers must have names as keys, as in ['Set-Cookie' => 'a=1']; the key 0 is no name",
        ];
        yield [
            $accept(['Set Cookie' => 'a=1']),
            "$headers cannot be used: header \"Set Cookie\": the name is not a token of HTTP, such as Set-Cookie",
        ];
        yield [
            $accept(['X-Name' => "a\r\nSet-Cookie: b=1"]),
            "$headers cannot be used: header \"X-Name\": the value \"a\\r\\nSet-Cookie: b=1\" has control characters, "
            . 'such as a line break',
        ];
        yield [$accept(['X-Name' => "\xFF"]), "$headers must have valid UTF-8 as values, not so for \"X-Name\""];
        yield [$accept(['X-Name' => null]), "$headers must have strings as values, null given for \"X-Name\""];
        yield [$accept(['X-Name' => [[]]]), "$headers must have strings as values, array given for \"X-Name\""];
        foreach (['Connection', 'upgrade', 'Content-Length', 'Transfer-Encoding', 'Sec-WebSocket-Protocol'] as $name) {
            yield [$accept([$name => 'x']), "$headers cannot be used: header \"$name\": it is for the engine to set"];
        }
        foreach ([-1, 0, 101, 200, 299, 600, 65536 + 403, PHP_INT_MAX] as $status) {
            yield [
                fn ($conn) => ws_reject($conn, $status),
                "ws_reject(): Argument #2 (\$status) must be a status of HTTP from 300 to 599, $status given",
            ];
        }
        yield [fn ($conn) => ws_reject($conn, 401, "\xFF"), 'ws_reject(): Argument #3 ($body) must be valid UTF-8'];
        yield [
            fn ($conn) => ws_reject($conn, 401, '', ['WWW-Authenticate: Bearer']),
            "ws_reject(): Argument #4 (\$headers) must have names as keys, as in ['Set-Cookie' => 'a=1']; the key 0 is "
            . 'no name',
        ];
    }
}
