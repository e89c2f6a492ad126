<?php
declare(strict_types=1);

namespace WsEngine\Compat\Ratchet;

use WsEngine\Compat\Listening;
use WsEngine\Compat\Script;
use WsEngine\Connection as Engine;
use WsEngine\Handshake;
use WsEngine\Request as EngineRequest;
use WsEngine\Server;

/** Stands between the engine and the components: who comes in, to whom, and what happens then. */
final class Door
{
    /** @param list<Route> $routes */
    public function __construct(private array $routes = [])
    {
    }

    public function add(Route $route): void
    {
        $this->routes[] = $route;
    }

    /** @param array<string, mixed> $options besides those that the routes need */
    public function listen(string $place, array $options = []): Server
    {
        $picky = \array_filter($this->routes, static fn (Route $route) => $route->isPicky());
        // Those that an App will have are.
        if ($picky !== [] || $this->routes === []) {
            $options += ['handshake_events' => true, 'origins' => 'any'];
        }
        return Script::listen(Listening::options($place, null, $options))
            ->on('handshake', $this->ask(...))
            ->on('open', $this->opened(...))
            ->on('message', $this->received(...))
            ->on('close', $this->closed(...));
    }

    private function ask(Handshake $handshake): void
    {
        [$route] = $this->find($handshake->request);
        if ($route === null) {
            $handshake->reject(404);
        } elseif (!$route->allows($handshake->request->origin)) {
            $handshake->reject(403);
        } elseif (($protocol = $route->server->choose($handshake->request->subprotocols)) === false) {
            // As Ratchet does.
            $handshake->reject(426, 'spoken here: ' . \implode(', ', $route->server->subprotocols()) . "\n");
        } else {
            $handshake->accept($protocol);
        }
    }

    private function opened(Engine $connection): void
    {
        [$route, $parameters] = $this->find($connection->request);
        if ($route === null) {
            // With handshake_events switched off in php.ini.
            $connection->close(1008);
            return;
        }
        $client = new Connection($connection, $parameters);
        $connection->attributes = [$client, $route->server];
        $this->call($connection, static fn ($component) => $component->onOpen($client));
    }

    private function received(Engine $connection, string $data, bool $binary): void
    {
        [$client, $server] = $connection->attributes + [null, null];
        if ($client !== null && !$client->WebSocket->closing) {
            $message = $server->message($data, $binary);
            $this->call($connection, static fn ($component) => $component->onMessage($client, $message));
        }
    }

    private function closed(Engine $connection): void
    {
        [$client] = $connection->attributes + [null];
        $this->call($connection, static fn ($component) => $component->onClose($client));
    }

    /** A component is told of its own exceptions. Errors, which onError() cannot take, go to standard error. */
    private function call(Engine $connection, callable $what): void
    {
        [$client, $server] = $connection->attributes + [null, null];
        if ($client === null) {
            return;
        }
        try {
            $what($server->component);
        } catch (\Exception $exception) {
            $server->component->onError($client, $exception);
        }
    }

    /** @return array{?Route, array<string, string>} */
    private function find(EngineRequest $request): array
    {
        foreach ($this->routes as $route) {
            $parameters = $route->match($request);
            if ($parameters !== null) {
                return [$route, $parameters];
            }
        }
        return [null, []];
    }
}
