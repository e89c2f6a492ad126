<?php
declare(strict_types=1);

namespace WsEngine\Tests;

use PHPUnit\Framework\TestCase;

/** Where a server may run, and what it writes. */
final class EnvironmentTest extends TestCase
{
    public function testUnderAnotherInterfaceTheStartSaysWhatToDo(): void
    {
        $page = tempnam(sys_get_temp_dir(), 'wsengine');
        file_put_contents($page, '<?php try { ws_server_start("127.0.0.1:0"); }
            catch (WsEngine\Exception $e) { echo get_class($e), ": ", $e->getMessage(); }');
        $port = (int) explode(':', stream_socket_get_name(stream_socket_server('tcp://127.0.0.1:0'), false))[1];
        $web = proc_open([PHP_BINARY, '-S', "127.0.0.1:$port", $page], [2 => ['file', '/dev/null', 'w']], $pipes);
        try {
            $deadline = microtime(true) + 5.0;
            while (($answer = @file_get_contents("http://127.0.0.1:$port/")) === false && microtime(true) < $deadline) {
                usleep(10_000);
            }
        } finally {
            proc_terminate($web);
            proc_close($web);
            unlink($page);
        }
        self::assertStringStartsWith('WsEngine\Exception: ws_server_start() needs a process that lives as long', $answer);
        self::assertStringContainsString('"cli-server"', $answer);
        self::assertStringContainsString('on the command line (php server.php)', $answer);
    }

    public function testLogLinesGoToStandardError(): void
    {
        $script = new Script(
            'echo ws_server_start(["listen" => "127.0.0.1:0", "log_level" => "debug"])->address, "\n"; ws_poll_event(5.0);'
        );
        $client = new Client($script->line(), '/the-path', ['Origin' => "http://127.0.0.1"]);
        $client->closed();
        $client->answerClose(1001);
        $script->end();
        $lines = array_filter(explode("\n", $script->errors()));
        foreach ($lines as $line) {
            $level = '(error|warn|info|debug|trace)';
            self::assertMatchesRegularExpression("/^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] wsengine $level: ./", $line);
        }
        $handshake = implode("\n", preg_grep('/debug: handshake/', $lines));
        foreach (['/the-path', 'http://127.0.0.1', '13', '101'] as $part) {
            self::assertStringContainsString($part, $handshake);
        }
    }

    public function testNothingIsLoggedWhenAllIsWell(): void
    {
        $script = new Script('echo ws_server_start("127.0.0.1:0")->address, "\n"; ws_poll_event(5.0);');
        $client = new Client($script->line());
        $client->closed();
        $client->answerClose(1001);
        self::assertSame(0, $script->end()['exit']);
        self::assertSame('', $script->errors());
    }
}
