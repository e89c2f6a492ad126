<?php
declare(strict_types=1);

namespace WsEngine\Tests;

use PHPUnit\Framework\TestCase;
use Psr\Log\LoggerInterface;
use WsEngine\Server;

/** A server of the object layer and its clients in one process: run() and process() serve while the test waits. */
abstract class LibTestCase extends TestCase
{
    /** For scripts in processes of their own. */
    protected const AUTOLOAD = __DIR__ . '/../../lib/autoload.php';

    protected Server $server;
    protected string $address;

    /** @param array<string, mixed> $options */
    protected function listen(array $options = [], ?LoggerInterface $logger = null): Server
    {
        $this->server = Server::listen($options + ['listen' => '127.0.0.1:0'], $logger);
        $this->address = $this->server->info->address;
        return $this->server;
    }

    protected function tearDown(): void
    {
        if (isset($this->server)) {
            ws_server_stop(0);
            $this->server->run();
        }
    }

    /** Serves until something is so. */
    protected function serve(callable $until, float $timeout = 5.0): void
    {
        $deadline = microtime(true) + $timeout;
        while (!$until()) {
            self::assertLessThan($deadline, microtime(true), 'it does not come about');
            $read = [$this->server->stream()];
            $write = $except = null;
            stream_select($read, $write, $except, 0, 5_000);
            $this->server->process();
        }
    }

    /** A client that the server has seen. */
    protected function connect(string $path = '/', array $headers = []): Client
    {
        $before = count($this->server->connections());
        $client = new Client($this->address, $path, $headers);
        self::assertSame(101, $client->status);
        $this->serve(fn () => count($this->server->connections()) > $before);
        return $client;
    }

    /** What a script in a process of its own begins with: it prints the address. */
    protected static function script(string $code, array $options = [], string $shell = ''): Script
    {
        $begin = 'require ' . var_export(self::AUTOLOAD, true) . '; '
            . '$server = WsEngine\Server::listen("127.0.0.1:0"); echo $server->info->address, "\n"; ';
        return new Script($begin . $code, $options, $shell);
    }
}
