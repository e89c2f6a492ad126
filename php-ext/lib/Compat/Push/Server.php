<?php
declare(strict_types=1);

namespace WsEngine\Compat\Push;

use WsEngine\Compat\Listening;
use WsEngine\Compat\Script;
use WsEngine\Compat\Socket;
use WsEngine\Connection;
use WsEngine\ForkException;

/**
 * Server: a forked child for each client, which pushes until the client says "quit" or goes. What is pushed is said by
 * startProcess() of a subclass, or by setDataSource().
 */
#[\AllowDynamicProperties]
class Server
{
    /** A client costs a process, so there are not as many as connect; the option max_connections says otherwise. */
    private const CLIENTS = 256;

    protected $address;
    protected $port;
    protected $verboseMode = false;
    /** @var list<Client> */
    protected $clients = [];
    protected $dataSource = null;
    /** Seconds between two calls of the data source. */
    protected $interval = 1;
    /** @var array<int, Client> those that are pushed to, by the process that does it */
    private array $children = [];
    private int $parent;
    private \WsEngine\Server $engine;

    public function __construct($address = '127.0.0.1', $port = 5001, $verboseMode = false)
    {
        if (!\function_exists('pcntl_fork') || !\function_exists('posix_kill')) {
            Script::fail('a process for each client needs the extensions pcntl and posix of PHP');
        }
        $this->address = $address;
        $this->port = $port;
        $this->verboseMode = $verboseMode;
        $this->parent = \getmypid();
        $this->engine = Script::listen(Listening::options($address, $port, ['max_connections' => self::CLIENTS]));
        $this->console("Server started on $address:$port");
    }

    /** Serves until a signal. No child outlives it. */
    public function run()
    {
        $this->console('Waiting for clients');
        $this->engine->on('open', fn (Connection $connection) => $this->begin($connection));
        $this->engine->on('message', function (Connection $connection, string $data): void {
            $this->action($connection->attributes['client'], $data);
        });
        $this->engine->on('close', function (Connection $connection): void {
            $client = $connection->attributes['client'];
            $this->endProcess($client);
            $this->disconnect($client);
        });
        $this->engine->every(1, fn () => $this->reap());
        Script::run($this->engine);
    }

    /** What the children push: every $interval seconds what the callback returns, in place of a line of their own. */
    public function setDataSource(callable $dataSource)
    {
        $this->dataSource = $dataSource;
    }

    /** Prints a line when verbose. */
    public function console($text, $exit = false)
    {
        $line = \date('[Y-m-d H:i:s] ') . "$text\n";
        if ($exit) {
            die($line);
        }
        if ($this->verboseMode) {
            echo $line;
        }
    }

    /**
     * Forks the child, which pushes while the client is connected. Here a child may wait as it likes; what it returns
     * to is its end.
     */
    protected function startProcess($client)
    {
        $pid = \pcntl_fork();
        if ($pid === -1) {
            $this->console("Client #{$client->getId()} gets no process: " . \pcntl_strerror(\pcntl_get_last_error()));
        } elseif ($pid > 0) {
            $client->setPid($pid);
        } else {
            while ($client->isConnected()) {
                $seconds = $this->dataSource === null ? \random_int(2, 5) : $this->interval;
                $said = $this->dataSource === null ? "I am waiting $seconds seconds" : ($this->dataSource)();
                $this->send($client, $said);
                \usleep((int) ($seconds * 1e6));
            }
        }
    }

    /** A client has said something. */
    protected function action($client, $action)
    {
        $action = $this->unmask($action);
        $this->console("Client #{$client->getId()} says " . \preg_replace('/[\x00-\x1F\x7F]/', '?', $action));
        if ($action === 'exit' || $action === 'quit') {
            $this->endProcess($client);
        }
    }

    protected function send($client, $text)
    {
        $this->console("Send '$text' to client #{$client->getId()}");
        if (!$client->getSocket()->send($text) && !$client->getSocket()->isOpen()) {
            $client->setIsConnected(false);
            $this->console("Client #{$client->getId()} has gone");
        }
    }

    /** Somebody has gone, or shall go. */
    protected function disconnect($client)
    {
        $key = \array_search($client, $this->clients, true);
        if ($key === false) {
            return;
        }
        \array_splice($this->clients, $key, 1);
        $client->setIsConnected(false);
        $client->getSocket()->close();
        $this->console("Client #{$client->getId()} disconnected");
    }

    /** Messages come without frames: nothing is done. */
    protected function unmask($payload)
    {
        return $payload;
    }

    private function begin(Connection $connection): void
    {
        $client = new Client(\uniqid(), Socket::from($connection->id, $connection->request));
        $client->setHandshake(true);
        $connection->attributes['client'] = $client;
        $this->clients[] = $client;
        $this->console("Client #{$client->getId()} connected");
        try {
            $this->startProcess($client);
        } catch (\Throwable $error) {
            if (\getmypid() === $this->parent) {
                throw $error;
            }
            // The server has gone while the child slept: that is its end, and no mistake.
            if (!$error instanceof ForkException) {
                \fwrite(\STDERR, "$error\n");
            }
        }
        if (\getmypid() !== $this->parent) {
            Script::endChild();
        }
        if ($client->getPid() !== null) {
            $this->children[$client->getPid()] = $client;
            $this->console("Process {$client->getPid()} pushes to client #{$client->getId()}");
        }
    }

    /** Ends the child that pushes to a client, if there is one. */
    private function endProcess(Client $client): void
    {
        $pid = $client->getPid();
        if ($pid !== null) {
            // It may have ended by itself, but has the number until it is reaped.
            \posix_kill($pid, \SIGTERM);
            $client->setPid(null);
            $this->console("Process $pid ends");
        }
    }

    private function reap(): void
    {
        foreach ($this->children as $pid => $client) {
            if (\pcntl_waitpid($pid, $status, \WNOHANG) !== 0) {
                unset($this->children[$pid]);
                if ($client->getPid() === $pid) {
                    $client->setPid(null);
                }
            }
        }
    }
}
