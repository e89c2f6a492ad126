<?php
declare(strict_types=1);

namespace WsEngine\Tests\Lib;

use WsEngine\Connection;
use WsEngine\Tests\Client;
use WsEngine\Tests\LibTestCase;
use WsEngine\Tests\Script;

/** A server within the script's own loop around stream_select(). */
final class LoopTest extends LibTestCase
{
    private const CLIENTS = 2_000;
    private const IN_ONE_PROCESS = 500;

    public function testProcessGivesTheLoopATurnWhileMessagesGoOnComing(): void
    {
        $received = new \ArrayObject([0]);
        $server = $this->listen()->on('message', function () use ($received) { $received[0]++; });
        $client = $this->connect();
        for ($i = 0; $i < 1_000; $i++) {
            $client->send('x');
        }
        while ($server->stats()['events_pending'] < 1_000) {
            usleep(100);
        }
        $server->process();
        self::assertGreaterThan(0, $received[0]);
        self::assertLessThan(1_000, $received[0], 'all at once');
        $read = [$server->stream()];
        $write = $except = null;
        self::assertSame(1, stream_select($read, $write, $except, 0), 'the stream tells of the rest');
        $this->serve(fn () => $received[0] === 1_000);
    }

    /** @dataProvider streams */
    public function testBesideSocketsOfTheScriptAndThousandsOfClients(string $stream, string $process): void
    {
        $server = self::script('
            // select() knows descriptors below 1,024 only, and PHP warns of higher ones.
            set_error_handler(fn ($level, $text) => exit("$text\\n"));
            $server->on("message", fn ($c, string $data) => $c->send("echo $data"));
            $own = stream_socket_server("tcp://127.0.0.1:0");
            echo stream_socket_get_name($own, false), "\\n";
            $stream = ' . $stream . '; $peers = []; $lines = 0;
            while (!$server->isStopped()) {
                $read = [$stream, $own, ...$peers]; $write = $except = null;
                stream_select($read, $write, $except, 5);
                foreach ($read as $ready) {
                    if ($ready === $stream) {
                        ' . $process . '
                    } elseif ($ready === $own) {
                        $peers[] = stream_socket_accept($own);
                    } elseif (($line = fgets($ready)) === "stop\\n") {
                        $server->stop(0);
                    } else {
                        fwrite($ready, count($server->connections()) . "\\n");
                    }
                }
            }
            echo "done\\n";', [], 'ulimit -n $(ulimit -Hn);');
        $address = $server->line();
        $own = stream_socket_client('tcp://' . $server->line());
        stream_set_timeout($own, 5);
        $clients = [];
        for ($i = 0; $i < self::CLIENTS; $i += self::IN_ONE_PROCESS) {
            $clients[] = new Script(
                'require ' . var_export(__DIR__ . '/../support/Client.php', true) . ';
                for ($i = 0; $i < ' . self::IN_ONE_PROCESS . '; $i++) {
                    $clients[] = new WsEngine\Tests\Client("' . $address . '", timeout: 20);
                }
                foreach ($clients as $i => $client) { $client->send((string) $i); }
                foreach ($clients as $i => $client) { $client->expect() === "echo $i" || exit("not $i\\n"); }
                echo "all\\n"; $client->closed(60);',
            );
        }
        foreach ($clients as $client) {
            self::assertSame('all', $client->line(60.0));
        }
        fwrite($own, "how many?\n");
        self::assertSame(self::CLIENTS . "\n", fgets($own));
        fwrite($own, "stop\n");
        self::assertSame('done', $server->line());
    }

    public static function streams(): array
    {
        return [
            'its own' => ['$server->stream()', '$server->process();'],
            'ws_event_stream()' => ['ws_event_stream()', '$server->process();'],
        ];
    }

    public function testTimersRunAsOftenAsTheLoopCallsProcess(): void
    {
        $called = new \ArrayObject();
        $server = $this->listen()->every(0.001, fn () => $called[] = true);
        usleep(5_000);
        $server->process();
        self::assertCount(1, $called);
        usleep(5_000);
        $server->process();
        self::assertCount(2, $called);
    }

    public function testTheStreamTellsOfTheStop(): void
    {
        $server = $this->listen();
        $server->process();
        $server->stop(0);
        while (!$server->isStopped()) {
            $read = [$server->stream()];
            $write = $except = null;
            self::assertSame(1, stream_select($read, $write, $except, 5));
            $server->process();
        }
    }
}
