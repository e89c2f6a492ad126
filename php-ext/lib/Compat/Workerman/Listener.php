<?php
declare(strict_types=1);

namespace WsEngine\Compat\Workerman;

use WsEngine\Connection;
use WsEngine\Handshake;
use WsEngine\Request as EngineRequest;
use WsEngine\Server;

/**
 * From the events of the engine to the callbacks of a worker: onConnect and onWebSocketConnect before the client has
 * its answer, so that they can refuse it or add headers.
 */
final class Listener
{
    /** Seconds after which a client that was let in and is not there will not come any more. */
    private const PATIENCE = 5.0;

    /** @var array<int, TcpConnection> those who were let in; only an open event will be followed by a close event */
    private array $expected = [];
    /** @var array<int, TcpConnection> */
    private array $clients = [];

    public function __construct(private readonly Worker $worker, private readonly Server $server)
    {
        $server
            ->on('handshake', $this->ask(...))
            ->on('open', $this->opened(...))
            ->on('message', fn (Connection $connection, string $data) => $this->client($connection)?->received($data))
            ->on('drain', fn (Connection $connection) => $this->client($connection)?->drained())
            ->on('close', $this->closed(...));
    }

    /** Does the script want to see clients before they are let in? */
    public static function asks(Worker $worker): bool
    {
        return $worker->onConnect !== null || $worker->onWebSocketConnect !== null;
    }

    private function ask(Handshake $handshake): void
    {
        $accepted = false;
        $client = new TcpConnection($this->worker, $handshake->request->peer);
        try {
            $this->greet($client, $handshake->request);
            if ($client->getStatus() === TcpConnection::STATUS_ESTABLISHED) {
                [$subprotocol, $headers] = self::answer($client, $handshake->request);
                $accepted = $handshake->accept($subprotocol, $headers);
            }
        } finally {
            if ($accepted) {
                $this->expected[$handshake->id] = $client;
                $this->server->after(self::PATIENCE, fn () => $this->forgetIfMissing($handshake->id));
            } else {
                $handshake->reject();
                $client->gone();
            }
        }
    }

    private function opened(Connection $connection): void
    {
        $client = $this->expected[$connection->id] ?? null;
        unset($this->expected[$connection->id]);
        $this->clients[$connection->id] = $client ?? new TcpConnection($this->worker, $connection->request->peer);
        try {
            if ($client === null) {
                $this->greet($this->clients[$connection->id], $connection->request);
            }
        } finally {
            $this->clients[$connection->id]->opened($connection->id);
        }
    }

    private function closed(Connection $connection): void
    {
        $client = $this->client($connection);
        unset($this->clients[$connection->id]);
        $client?->gone();
    }

    private function client(Connection $connection): ?TcpConnection
    {
        return $this->clients[$connection->id] ?? null;
    }

    private function greet(TcpConnection $client, EngineRequest $request): void
    {
        if ($this->worker->onConnect) {
            ($this->worker->onConnect)($client);
        }
        if ($client->onWebSocketConnect && $client->getStatus() === TcpConnection::STATUS_ESTABLISHED) {
            $request = new Request($request);
            $request->asGlobals(static fn () => ($client->onWebSocketConnect)($client, $request));
        }
    }

    /** @return array{?string, array<string, list<string>>} the subprotocol and the headers that the script has set */
    private static function answer(TcpConnection $client, EngineRequest $request): array
    {
        $headers = [];
        $subprotocol = null;
        foreach ((array) $client->headers as $header) {
            [$name, $value] = \array_map('trim', \explode(':', $header, 2)) + [1 => ''];
            if (\strtolower($name) === 'sec-websocket-protocol') {
                $subprotocol = \in_array($value, $request->subprotocols, true) ? $value : null;
            } else {
                $headers[$name][] = $value;
            }
        }
        return [$subprotocol, $headers];
    }

    private function forgetIfMissing(int $id): void
    {
        $client = $this->expected[$id] ?? null;
        unset($this->expected[$id]);
        $client?->gone();
    }
}
