<?php
declare(strict_types=1);

namespace WsEngine\Tests;

use WsEngine\Event;

/** A forked child cannot use its parent's server, and disturbs nothing however it ends. */
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

    public function testEveryFunctionSaysWhereTheServerRuns(): void
    {
        $this->start();
        [$client, $conn] = $this->connect();
        $calls = [
            fn () => ws_poll_event(0), fn () => ws_poll_events(1, 0), fn () => ws_send($conn, 'x'),
            fn () => ws_broadcast('x'), fn () => ws_close($conn), fn () => ws_is_open($conn),
            fn () => ws_connections(), fn () => ws_event_stream(), fn () => ws_stats(), fn () => ws_server_stop(),
            fn () => ws_accept($conn), fn () => ws_reject($conn), fn () => ws_tls_reload(),
            fn () => ws_subscribe($conn, 'a'), fn () => ws_unsubscribe($conn, 'a'), fn () => ws_publish('a', 'x'),
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
        self::assertSame('16 of 16', $output);
        $client->send('still there?');
        self::assertSame('still there?', $this->next(Event::MESSAGE)->data);
        self::assertTrue(ws_send($conn, 'yes'));
        self::assertSame('yes', $client->expect());
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
        self::assertSame('still there?', $client->expect());
        $script->signal(SIGTERM);
        self::assertSame(SIGTERM, $script->end()['signal']);
    }

    public function ends(): array
    {
        return [
            'exit' => ['exit(0);', null],
            'an uncaught exception' => ['throw new Exception("in the child");', null],
            'exec' => ['pcntl_exec("/bin/true");', null],
            'Ctrl-C' => ['sleep(10);', SIGINT],
            'SIGTERM' => ['sleep(10);', SIGTERM],
            'SIGKILL' => ['sleep(10);', SIGKILL],
        ];
    }
}
