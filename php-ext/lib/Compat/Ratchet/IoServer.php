<?php
declare(strict_types=1);

namespace WsEngine\Compat\Ratchet;

use WsEngine\Compat\Listening;
use WsEngine\Server;

/** Listens from its making on, as Ratchet's does, and serves in run(). */
class IoServer
{
    /** @var Loop|\React\EventLoop\LoopInterface */
    public $loop;
    public $app;
    public $socket;

    private readonly Server $server;

    /**
     * @param object $app a WsServer, mostly within an HttpServer
     * @param string|object $socket where to listen, or a server of React's, which makes room
     * @param object|null $loop a loop of React's; without it run() has one of its own
     * @param array<string, mixed> $options of the engine
     */
    public function __construct($app, $socket, $loop = null, array $options = [])
    {
        $this->app = $app;
        $this->socket = $socket;
        if (\is_object($socket)) {
            $place = $socket->getAddress();
            $socket->close();
        }
        $door = $app instanceof Door ? $app : new Door([new Route($app)]);
        $this->server = $door->listen(Listening::at($place ?? $socket), $options);
        $this->loop = $loop ?? new Loop($this->server);
        if (!$this->loop instanceof Loop) {
            $this->join($this->loop);
        }
    }

    public static function factory($component, $port = 80, $address = '0.0.0.0')
    {
        return new static($component, Listening::at($address, $port));
    }

    /** Serves until it is stopped. */
    public function run()
    {
        $this->loop->run();
    }

    /** @param object $loop with addReadStream() and removeReadStream() as React has them */
    private function join(object $loop): void
    {
        $stream = $this->server->stream();
        $loop->addReadStream($stream, fn () => $this->server->process());
        $this->server->on('stop', static function () use ($loop, $stream) {
            $loop->removeReadStream($stream);
            $loop->stop();
        });
    }
}
