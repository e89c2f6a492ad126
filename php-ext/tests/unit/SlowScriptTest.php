<?php
declare(strict_types=1);

namespace WsEngine\Tests;

use PHPUnit\Framework\TestCase;

/** A script that sleeps hurts nobody. */
final class SlowScriptTest extends TestCase
{
    public function testPingsAndHandshakesAreAnsweredWhileACallbackSleeps(): void
    {
        $script = new Script(
            'echo ws_server_start("127.0.0.1:0")->address, "\n";' .
            'while (true) foreach (ws_poll_events() as $e) if ($e->type === "message") {' .
            '  echo "sleeping\n"; sleep(3); echo "awake\n"; ws_send($e->conn, "done"); }'
        );
        $address = $script->line();
        $sleeper = new Client($address);
        $other = new Client($address);
        $asked = microtime(true);
        $sleeper->send('sleep!');
        $script->line();
        $begin = microtime(true);

        $other->send('are you there?', Client::PING);
        self::assertSame('are you there?', $other->expect(Client::PONG));
        $ping = microtime(true) - $begin;

        $third = new Client($address);
        self::assertSame(101, $third->status);
        $handshake = microtime(true) - $begin - $ping;

        $other->close(1000, 'bye');
        self::assertSame(1000, $other->closed()[0]);
        $close = microtime(true) - $begin - $ping - $handshake;

        // How long exactly is for tests/slow_host/run.py: a machine full of tests may take longer, but never until the end.
        self::assertLessThan(1.0, $ping);
        self::assertLessThan(1.0, $handshake);
        self::assertLessThan(1.0, $close);
        self::assertSame('awake', $script->line());
        self::assertGreaterThan(2.9, microtime(true) - $asked);
        self::assertSame('done', $sleeper->expect());
        $script->signal(SIGTERM);
        self::assertSame(SIGTERM, $script->end()['signal']);
    }

    public function testNothingIsLostWhileNobodyPolls(): void
    {
        $script = new Script(
            'echo ws_server_start("127.0.0.1:0")->address, "\n"; sleep(1); $n = 0;' .
            'while ($n < 2001) foreach (ws_poll_events(timeout: 5.0) as $e) { $n++; $last = $e; } echo $last->data, "\n";'
        );
        $client = new Client($script->line());
        for ($i = 1; $i <= 2000; $i++) {
            $client->send("message $i");
        }
        self::assertSame('message 2000', $script->line());
        $client->cut();
        self::assertSame(0, $script->end()['exit']);
    }
}
