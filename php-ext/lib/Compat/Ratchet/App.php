<?php
declare(strict_types=1);

namespace WsEngine\Compat\Ratchet;

use WsEngine\Compat\Listening;
use WsEngine\Compat\Script;
use WsEngine\Compat\Tls;

/** Several components on one port, each at a path. */
class App
{
    private readonly Door $door;
    private readonly IoServer $server;

    /**
     * @param string $httpHost what clients have to call this host; others get HTTP 404
     * @param object|null $loop a loop of React's
     * @param array<string, mixed> $context with local_cert and local_pk for an address of tls://
     */
    public function __construct(
        private readonly string $httpHost = 'localhost',
        $port = 8080,
        $address = '127.0.0.1',
        $loop = null,
        $context = [],
    ) {
        $this->door = new Door();
        $this->server = new IoServer($this->door, Listening::at($address, $port), $loop, Tls::options($context));
    }

    /**
     * @param string $path may have {name}, which stands for anything but a slash and goes into the query
     * @param list<string> $allowedOrigins hosts of pages, ['*'] for all; [] for $httpHost
     */
    public function route($path, $controller, array $allowedOrigins = [], $httpHost = null)
    {
        if (!$controller instanceof WsServer && !$controller instanceof OriginCheck) {
            if (!\method_exists($controller, 'onMessage')) {
                Script::fail($controller::class . ' takes no messages: WAMP and plain HTTP are not served here');
            }
            $controller = new WsServer($controller);
        }
        $host = $httpHost ?? $this->httpHost;
        $this->door->add((new Route($controller))->at($path, $host, \array_values($allowedOrigins) ?: [$host]));
        return $controller;
    }

    /** Serves until it is stopped. */
    public function run()
    {
        $this->server->run();
    }
}
