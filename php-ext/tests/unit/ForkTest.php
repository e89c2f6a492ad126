<?php
declare(strict_types=1);

namespace WsEngine\Tests;

use WsEngine\Event;

/** A forked child reaches its parent's server, and disturbs nothing however it ends. */
final class ForkTest extends ServerTestCase
{
    /** Runs $child in a forked process and gives what it wrote. */
    private function fork(callable $child): string
    {
        [$ours, $theirs] = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);
        $pid = pcntl_fork();
        if ($pid === 0) {
            fwrite($theirs, $child());
            fclose($theirs);
            // PHPUnit's own ending is not for the child, and signals end it without destructors.
            posix_kill(getmypid(), SIGKILL);
        }
        fclose($theirs);
        $output = stream_get_contents($ours);
        pcntl_waitpid($pid, $status);
        return $output;
    }

    public function testWhatAChildCannotDoSaysWhereTheServerRuns(): void
    {
        $this->start();
        [$client, $conn] = $this->connect();
        $calls = [
            fn () => ws_poll_event(0), fn () => ws_poll_events(1, 0), fn () => ws_connections(),
            fn () => ws_event_stream(), fn () => ws_stats(), fn () => ws_server_stop(), fn () => ws_accept($conn),
            fn () => ws_reject($conn), fn () => ws_tls_reload(),
        ];
        $parent = getmypid();
        $output = $this->fork(function () use ($calls, $parent) {
            $sound = 0;
            foreach ($calls as $call) {
                try {
                    $call();
                } catch (\WsEngine\ForkException $e) {
                    $sound += (int) str_contains($e->getMessage(), "runs in process $parent");
                }
            }
            return "$sound of " . count($calls);
        });
        self::assertSame('9 of 9', $output);
        $client->send('still there?');
        self::assertSame('still there?', $this->next(Event::MESSAGE)->data);
        self::assertTrue(ws_send($conn, 'yes'));
        self::assertSame('yes', $client->expect());
    }

    public function testAChildSendsBroadcastsAndClosesAndKnowsWhoIsThere(): void
    {
        $this->start();
        [$one, $first] = $this->connect();
        [$two, $second] = $this->connect();
        $results = $this->fork(fn () => json_encode([
            ws_is_open($first), ws_send($first, 'text'), ws_send($first, "\xFF", true),
            ws_broadcast('all'), ws_broadcast('one', except: [$first]),
            ws_close($second, 4000, 'by the child'), ws_is_open($second), ws_send($second, 'late'),
            ws_close($second), ws_is_open(12345), ws_send(12345, 'nobody'), ws_broadcast('left'),
        ]));
        self::assertSame([true, true, true, 2, 1, true, false, false, false, false, false, 1], json_decode($results));
        self::assertSame(['text', "\xFF", 'all', 'left'], [$one->expect(), $one->expect(Client::BINARY), $one->expect(), $one->expect()]);
        self::assertSame(['all', 'one'], [$two->expect(), $two->expect()]);
        self::assertSame([4000, 'by the child'], $two->closed());
    }

    public function testAChildSubscribesAndPublishes(): void
    {
        $this->start();
        [$one, $first] = $this->connect();
        [$two, $second] = $this->connect();
        ws_subscribe($first, 'news');
        $results = $this->fork(fn () => json_encode([
            ws_publish('news', 'one'), ws_subscribe($second, 'news'), ws_publish('news', 'both'),
            ws_publish('news', 'second', except: [$first]), ws_unsubscribe($first, 'news'),
            ws_unsubscribe($first, 'news'), ws_publish('news', "\xFF", true), ws_subscribe(12345, 'news'), ws_members('news'),
        ]));
        self::assertSame([1, true, 2, 1, true, false, 1, false, 1], json_decode($results));
        self::assertSame(['one', 'both'], [$one->expect(), $one->expect()]);
        self::assertSame(['both', 'second', "\xFF"], [$two->expect(), $two->expect(), $two->expect(Client::BINARY)]);
    }

    public function testAChildSubscribesWithHistoryAndALabel(): void
    {
        $this->start(['history' => 'room:=10/60', 'presence' => 'room:']);
        [$client, $conn] = $this->connect();
        ws_publish('room:1', 'missed');
        self::assertSame('true', $this->fork(fn () => var_export(ws_subscribe($conn, 'room:1', '', 'Ann'), true)));
        self::assertStringContainsString('"replay":1', $client->expect());
        self::assertStringEndsWith("\nmissed", $client->expect());
        self::assertStringContainsString('"present":[{', $client->expect());
        self::assertSame(['Ann'], array_values(ws_presence('room:1')));
        self::assertStringContainsString('a forked child cannot ask this', $this->fork(function () {
            try {
                return json_encode(ws_presence('room:1'));
            } catch (\WsEngine\Exception $e) {
                return $e->getMessage();
            }
        }));
    }

    public function testAChildIsToldItsMistakesAsItsParentIs(): void
    {
        $this->start(['send_queue_bytes' => 1000]);
        [, $conn] = $this->connect();
        $message = fn (callable $call) => $this->fork(function () use ($call) {
            try {
                return var_export($call(), true);
            } catch (\ValueError $e) {
                return $e->getMessage();
            }
        });
        self::assertStringContainsString('must be valid UTF-8', $message(fn () => ws_send($conn, "\xFF")));
        self::assertStringContainsString('at most 1000 bytes', $message(fn () => ws_broadcast(str_repeat('x', 1001))));
        self::assertStringContainsString('1005 given', $message(fn () => ws_close($conn, 1005)));
        self::assertStringContainsString('1 to 256 bytes', $message(fn () => ws_publish(str_repeat('x', 257), '')));
    }

    public function testAFullQueueIsToldToAChildAndDrainsInTheParent(): void
    {
        $this->start(['send_queue_bytes' => 20_000_000, 'send_queue_messages' => 100]);
        [$client, $conn] = $this->connect();
        $sent = (int) $this->fork(function () use ($conn) {
            for ($sent = 0; ws_send($conn, str_repeat('x', 1_000_000)); $sent++);
            return (string) $sent;
        });
        self::assertGreaterThanOrEqual(20, $sent);
        for ($n = 0; $n < $sent; $n++) {
            self::assertSame(1_000_000, strlen($client->expect()));
        }
        self::assertSame($conn, $this->next(Event::DRAIN)->conn);
    }

    public function testMessagesOfAnySizeArriveWhole(): void
    {
        $this->start(['send_queue_bytes' => 100_000_000]);
        [$client, $conn] = $this->connect();
        $sizes = [0, 1, 125, 126, 16_383, 16_384, 16_385, 65_536, 1_000_000, 50_000_000];
        $pid = pcntl_fork();
        if ($pid === 0) {
            foreach ($sizes as $size) {
                ws_send($conn, str_repeat(chr(65 + $size % 26), $size));
            }
            posix_kill(getmypid(), SIGKILL);
        }
        foreach ($sizes as $size) {
            $message = $client->expect();
            self::assertSame([$size, $size], [strlen($message), strspn($message, chr(65 + $size % 26))]);
        }
        pcntl_waitpid($pid, $status);
    }

    public function testAHundredChildrenAtOnceEachKeepTheirOrder(): void
    {
        $this->start();
        [$client, $conn] = $this->connect();
        [$go, $wait] = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);
        $pids = [];
        for ($child = 0; $child < 100; $child++) {
            if (($pid = pcntl_fork()) === 0) {
                fclose($go);
                fread($wait, 1);
                for ($n = 0; $n < 20; $n++) {
                    while (!ws_send($conn, "$child $n")) {
                        usleep(1000);
                    }
                }
                posix_kill(getmypid(), SIGKILL);
            }
            $pids[] = $pid;
        }
        // The end of the stream is the sign for all.
        fclose($wait);
        fclose($go);
        $next = array_fill(0, 100, 0);
        for ($message = 0; $message < 2000; $message++) {
            [$child, $n] = array_map(intval(...), explode(' ', $client->expect()));
            self::assertSame($next[$child]++, $n);
        }
        foreach ($pids as $pid) {
            pcntl_waitpid($pid, $status);
        }
    }

    public function testAChildOfAChildHasAWayOfItsOwn(): void
    {
        $this->start();
        [$client, $conn] = $this->connect();
        $this->fork(function () use ($conn) {
            ws_send($conn, 'child');
            $this->fork(fn () => ws_send($conn, 'grandchild') ? '' : '');
            ws_send($conn, 'child again');
            return '';
        });
        self::assertSame(['child', 'grandchild', 'child again'], [$client->expect(), $client->expect(), $client->expect()]);
    }

    public function testAConnectionThatTheParentClosesEndsAlthoughAChildLives(): void
    {
        $this->start();
        [$client, $conn] = $this->connect();
        [$ours, $theirs] = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);
        $pid = pcntl_fork();
        if ($pid === 0) {
            fclose($ours);
            fwrite($theirs, 'r');
            fread($theirs, 1);
            posix_kill(getmypid(), SIGKILL);
        }
        fread($ours, 1);
        // The engine's descriptors are those from 2,048 on.
        $high = fn (int|string $pid) => glob("/proc/$pid/fd/[0-9][0-9][0-9][0-9]*");
        self::assertNotSame([], $high('self'));
        self::assertSame([], $high($pid));
        ws_close($conn);
        self::assertSame([1000, ''], $client->closed());
        $client->close(1000);
        self::assertTrue($client->ended());
        fclose($ours);
        pcntl_waitpid($pid, $status);
    }

    public function testAChildThatOutlivesTheServerIsToldSo(): void
    {
        $script = new Script(
            '$address = ws_server_start("127.0.0.1:0")->address; [$a, $b] = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);' .
            'if (pcntl_fork() === 0) { fclose($a); ws_broadcast("x"); echo "ready\n"; fread($b, 1); var_dump(ws_is_open(1));' .
            'foreach (["ws_broadcast", "ws_broadcast"] as $f) try { $f("x"); } catch (WsEngine\ForkException $e) { echo $e->getMessage(), "\n"; }' .
            'echo "child ends\n"; exit(0); }' .
            'fclose($b); ws_poll_event(10); posix_kill(getmypid(), SIGKILL);'
        );
        self::assertSame('ready', $script->line());
        $script->signal(SIGKILL);
        self::assertSame('bool(false)', $script->line());
        $gone = 'ws_broadcast(): the server of the parent process is gone';
        self::assertSame([$gone, $gone, 'child ends'], [$script->line(), $script->line(), $script->line()]);
    }

    public function testOnlyTheParentDecidesOnAHandshake(): void
    {
        $this->start(['handshake_events' => true]);
        [$client, $event] = $this->ask();
        $output = $this->fork(function () use ($event) {
            try {
                return var_export(ws_accept($event->conn), true);
            } catch (\WsEngine\ForkException $e) {
                return $e->getMessage();
            }
        });
        self::assertStringStartsWith('ws_accept(): ', $output);
        self::assertStringContainsString('runs in process ' . getmypid(), $output);
        self::assertTrue(ws_accept($event->conn));
        self::assertSame(101, $client->answer());
    }

    public function testAChildMayStartAServerOfItsOwn(): void
    {
        $this->start();
        [$client, $conn] = $this->connect();
        $output = $this->fork(function () {
            $address = ws_server_start('127.0.0.1:0')->address;
            $client = new Client($address);
            $client->send('to the child');
            ws_poll_event(5.0);
            return ws_poll_event(5.0)->data;
        });
        self::assertSame('to the child', $output);
        self::assertTrue(ws_send($conn, 'to the parent'));
        self::assertSame('to the parent', $client->expect());
    }

    public function testADaemonForksFirstAndStartsThen(): void
    {
        $script = new Script(
            'if (pcntl_fork() > 0) exit(0); posix_setsid(); if (pcntl_fork() > 0) exit(0);' .
            'echo ws_server_start("127.0.0.1:0")->address, "\n", getmypid(), "\n";' .
            'while (true) foreach (ws_poll_events() as $e) if ($e->type === "message") ws_send($e->conn, $e->data);'
        );
        self::assertSame(0, $script->end()['exit'], 'the shell has its prompt back');
        $client = new Client($script->line());
        $daemon = (int) $script->line();
        $client->send('hello');
        self::assertSame('hello', $client->expect());
        posix_kill($daemon, SIGTERM);
        self::assertSame([1001, ''], $client->closed());
        $client->answerClose(1001);
    }

    /** @dataProvider ends */
    public function testTheEndOfAChildDisturbsNothing(string $end, ?int $signal): void
    {
        $script = new Script(
            'echo ws_server_start("127.0.0.1:0")->address, "\n"; ws_poll_event(5.0);' .
            'if (($pid = pcntl_fork()) === 0) { echo "child ", getmypid(), "\n"; ' . $end . ' }' .
            'pcntl_waitpid($pid, $status); echo "ended\n";' .
            'while (true) foreach (ws_poll_events() as $e) ws_send($e->conn, $e->data);'
        );
        $client = new Client($script->line());
        $child = (int) explode(' ', $script->line())[1];
        if ($signal !== null) {
            posix_kill($child, $signal);
        }
        self::assertSame('ended', $script->line());
        $client->send('still there?');
        do {
            $message = $client->expect();
        } while ($message !== 'still there?' && strlen($message) === 100_000);
        self::assertSame('still there?', $message);
        $script->signal(SIGTERM);
        self::assertSame(SIGTERM, $script->end()['signal']);
    }

    public static function ends(): array
    {
        return [
            'exit' => ['exit(0);', null],
            'an uncaught exception' => ['throw new Exception("in the child");', null],
            'exec' => ['pcntl_exec("/bin/true");', null],
            'Ctrl-C' => ['sleep(10);', SIGINT],
            'SIGTERM' => ['sleep(10);', SIGTERM],
            'SIGKILL' => ['sleep(10);', SIGKILL],
            'a crash' => ['sleep(10);', SIGSEGV],
            'exit in the middle of sending' => ['ws_broadcast(str_repeat("x", 100000)); exit(0);', null],
            'no memory left' => ['ini_set("memory_limit", "16M"); $x = str_repeat("x", 64 << 20);', null],
        ];
    }
}
