<?php
declare(strict_types=1);

namespace WsEngine\Tests\Lib;

use WsEngine\Connection;
use WsEngine\Tests\Client;
use WsEngine\Tests\LibTestCase;

/** Exceptions in a logger of PSR-3, as Debian has that. */
final class LoggerTest extends LibTestCase
{
    /** Takes what log() was called with; the types are those that every version of PSR-3 allows. */
    private const LOGGER = '
        require_once "Psr/Log/autoload.php";
        return new class extends Psr\Log\AbstractLogger {
            public array $lines = [];
            public function log($level, $message, array $context = []): void
            {
                $this->lines[] = [$level, (string) $message, $context];
            }
        };';

    public function testALoggerGetsTheExceptionInTheContext(): void
    {
        $logger = eval(self::LOGGER);
        $thrown = new \DomainException('not so');
        $server = $this->listen([], $logger)->on('message', fn () => throw $thrown);
        $server->after(0.0, fn () => throw $thrown);
        $server->process();
        $client = $this->connect();
        $client->send('x');
        $this->serve(fn () => count($logger->lines) === 2);
        [[, $timer], [$level, $message, $context]] = $logger->lines;
        self::assertSame('error', $level);
        self::assertStringStartsWith('the handler of "message" threw DomainException: not so in ' . __FILE__, $message);
        self::assertSame(['exception' => $thrown, 'connection' => array_key_first($server->connections())], $context);
        self::assertStringStartsWith('a timer threw DomainException', $timer);
        self::assertSame(['exception' => $thrown], $logger->lines[0][2]);
    }

    public function testWhoHandlesErrorsHasNoLogOfThem(): void
    {
        $logger = eval(self::LOGGER);
        $seen = new \ArrayObject();
        $server = $this->listen([], $logger)->on('open', fn () => throw new \Exception('first'));
        $server->on('error', fn (\Throwable $e) => $seen[] = $e->getMessage());
        $client = $this->connect();
        self::assertSame(['first'], $seen->getArrayCopy());
        self::assertSame([], $logger->lines);
        $server->on('error', fn () => throw new \Exception('second'));
        $another = $this->connect();
        self::assertStringStartsWith('the handler of "error" threw Exception: second in ', $logger->lines[0][1]);
    }

    public function testALoggerThatThrowsEndsNothing(): void
    {
        $script = self::script('
            require "Psr/Log/autoload.php";
            $server->stop(0);
            $server = WsEngine\Server::listen("127.0.0.1:0", new class extends Psr\Log\AbstractLogger {
                public function log($level, $message, array $context = []): void { throw new Exception("disk full"); }
            });
            echo $server->info->address, "\n";
            $server->on("message", fn () => throw new Exception("of the handler"));
            $server->on("close", fn () => $server->stop(0));
            $server->run(); echo "done\n";');
        $script->line();
        $client = new Client($script->line());
        $client->send('x');
        $client->close();
        self::assertSame('done', $script->line());
        $errors = $script->errors();
        self::assertStringContainsString('the handler of "message" threw Exception: of the handler in ', $errors);
        self::assertStringContainsString('the logger threw Exception: disk full in ', $errors);
    }

    public function testWithoutPsrEverythingWorks(): void
    {
        $script = self::script('
            interface_exists("Psr\Log\LoggerInterface") && exit("it is there\n");
            $server->on("open", fn () => throw new Exception("no logger"));
            $server->on("close", fn () => $server->stop(0));
            $server->run(); echo "done\n";');
        $client = new Client($script->line());
        $client->close();
        self::assertSame('done', $script->line());
        self::assertStringContainsString('threw Exception: no logger', $script->errors());
    }
}
