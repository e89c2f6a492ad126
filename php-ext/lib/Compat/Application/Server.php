<?php
declare(strict_types=1);

namespace WsEngine\Compat\Application;

use WsEngine\Compat\Listening;
use WsEngine\Compat\Script;
use WsEngine\Connection as Engine;
use WsEngine\Server as EngineServer;

/** The server that has applications: a client that connects to /chat gets the one registered as "chat". */
#[\AllowDynamicProperties]
class Server
{
    /** The old loop looked at least so often, in seconds. */
    private const TICK = 1.0;

    /** @var array<int, Connection> by the engine's connection */
    protected $clients = [];
    /** @var array<string, ApplicationInterface> */
    protected $applications = [];
    /** Messages of one client. Null: as many as it likes. */
    protected ?int $maxRequestsPerMinute = 50;

    private readonly Origins $origins;
    private int $maxClients = 30;
    private int $maxConnectionsPerIp = 5;
    /** @var list<array{int, callable}> in milliseconds */
    private array $timers = [];
    /** @var array<int, array{int, int}> since when, in seconds, and how many messages */
    private array $requests = [];

    /** @param mixed $third TLS by true in one generation, the socket of PushClient in the other */
    public function __construct(private $host = 'localhost', private $port = 8000, $third = null)
    {
        if ($third === true) {
            Script::fail('for TLS take the third argument of new Server() away and set wsengine.listen, '
                . 'wsengine.tls_cert and wsengine.tls_key in php.ini or by -d; see docs/legacy.md');
        }
        $this->origins = new Origins();
        $this->log('Server created');
    }

    /** Serves until it is stopped. */
    public function run()
    {
        if ($this->applications === []) {
            Script::fail('run() without an application: call registerApplication() before it');
        }
        $server = Script::listen(Listening::options($this->host, $this->port, $this->options()));
        $server
            ->on('open', $this->opened(...))
            ->on('message', $this->received(...))
            ->on('close', $this->closed(...));
        $this->startTimers($server);
        Script::run($server);
    }

    public function registerApplication($key, $application)
    {
        $this->applications[$key] = $application;
        if ($key === 'status') {
            $this->tellStatus('setServerInfo', [
                'maxClients' => $this->maxClients,
                'maxConnectionsPerIp' => $this->maxConnectionsPerIp,
                // Spelt so by all.
                'maxRequetsPerMinute' => $this->maxRequestsPerMinute,
            ]);
        }
    }

    public function hasApplication($key)
    {
        return isset($this->applications[$key]);
    }

    /** @return ApplicationInterface|false */
    public function getApplication($key)
    {
        return $this->applications[$key] ?? false;
    }

    /** Calls $task at the start and then every so many milliseconds. */
    public function addTimer($interval, callable $task)
    {
        $this->timers[] = [(int) $interval, $task];
    }

    public function log($message, $type = 'info')
    {
        echo \date('Y-m-d H:i:s'), ' [', $type ?: 'error', '] ', $message, \PHP_EOL;
    }

    public function setMaxClients($max)
    {
        $this->maxClients = (int) $max ?: $this->maxClients;
        return (int) $max !== 0;
    }

    public function getMaxClients()
    {
        return $this->maxClients;
    }

    public function setMaxConnectionsPerIp($limit)
    {
        $this->maxConnectionsPerIp = (int) $limit;
        return true;
    }

    public function getMaxConnectionsPerIp()
    {
        return $this->maxConnectionsPerIp;
    }

    public function setMaxRequestsPerMinute($limit)
    {
        $this->maxRequestsPerMinute = (int) $limit;
        return true;
    }

    public function setCheckOrigin($doOriginCheck)
    {
        $this->origins->check = (bool) $doOriginCheck;
        return true;
    }

    public function getCheckOrigin()
    {
        return $this->origins->check;
    }

    /** @param string $domain such as shop.example, which also allows www.shop.example */
    public function setAllowedOrigin($domain)
    {
        return $this->origins->allow($domain);
    }

    public function checkOrigin($domain)
    {
        return $this->origins->allows($domain);
    }

    /** @internal the application is told, then the status application */
    public function leave(Connection $client)
    {
        $client->log('Disconnected');
        try {
            $client->getClientApplication()->onDisconnect($client);
        } finally {
            $id = $client->getClientSocket()->id;
            unset($this->clients[$id], $this->requests[$id]);
            $this->tellStatus('clientDisconnected', $client->getClientIp(), $client->getClientPort());
        }
    }

    /** @return array<string, mixed> what the setters have said, in the engine's words */
    private function options(): array
    {
        return $this->origins->option() + [
            'max_connections' => $this->maxClients,
            'max_connections_per_ip' => $this->maxConnectionsPerIp,
            // Others get HTTP 404.
            'paths' => \array_map(static fn ($key) => "/$key", \array_keys($this->applications)),
        ];
    }

    private function startTimers(EngineServer $server): void
    {
        foreach ($this->timers as [$interval, $task]) {
            $server->after(0, static fn () => $task());
            $server->every(\max(1, $interval) / 1000, static fn () => $task());
        }
        foreach ($this->applications as $application) {
            if (\method_exists($application, 'onTick')) {
                $server->every(self::TICK, static fn () => $application->onTick());
            }
        }
    }

    private function opened(Engine $connection): void
    {
        $application = $this->applications[\substr($connection->request->path, 1)] ?? null;
        if ($application === null) {
            // By an option paths of php.ini.
            $connection->close(1008);
            return;
        }
        $client = $this->clients[$connection->id] = new Connection($this, $connection, $application);
        $client->log('Connected');
        try {
            $application->onConnect($client);
        } finally {
            $this->tellStatus('clientConnected', $client->getClientIp(), $client->getClientPort());
        }
    }

    private function received(Engine $connection, string $data, bool $binary): void
    {
        $client = $this->clients[$connection->id] ?? null;
        if ($client === null) {
            return;
        }
        if (!$this->withinLimit($connection->id)) {
            $client->close();
            return;
        }
        $this->tellStatus('clientActivity', $this->nameOf($client));
        $application = $client->getClientApplication();
        if (!$binary) {
            $application->onData($data, $client);
        } elseif (\method_exists($application, 'onBinaryData')) {
            $application->onBinaryData($data, $client);
        } else {
            $client->close(1003);
        }
    }

    private function closed(Engine $connection): void
    {
        ($this->clients[$connection->id] ?? null)?->leave();
    }

    /** How the status application is told of a client that has sent something. */
    protected function nameOf(Connection $client): int|string
    {
        return $client->getClientPort();
    }

    private function withinLimit(int $id): bool
    {
        if ($this->maxRequestsPerMinute === null) {
            return true;
        }
        [$since, $count] = $this->requests[$id] ?? [\time(), 0];
        $this->requests[$id] = \time() - $since > 60 ? [\time(), 1] : [$since, $count + 1];
        return $this->requests[$id][1] <= $this->maxRequestsPerMinute;
    }

    /** The application "status" hears of everybody, as far as it wants to. */
    private function tellStatus(string $method, mixed ...$arguments): void
    {
        $status = $this->applications['status'] ?? null;
        if ($status !== null && \method_exists($status, $method)) {
            $status->$method(...$arguments);
        }
    }
}
