<?php
declare(strict_types=1);

namespace WsEngine\Compat\Workerman;

use WsEngine\Compat\Listening;
use WsEngine\Compat\Script;
use WsEngine\Compat\Tls;
use WsEngine\Server;

/** A script's server, and what it does by itself. All workers of a script live in its one process. */
#[\AllowDynamicProperties]
class Worker
{
    private const COMMANDS = ['start', 'stop', 'restart', 'reload', 'status', 'connections'];

    // Scripts set these. There is no second process, so there is nothing that they would change.
    public static $daemonize = false;
    public static $stdoutFile = '/dev/null';
    public static $pidFile = '';
    public static $logFile = '';
    public static $statusFile = '';
    public static $eventLoopClass = '';
    public static $processTitle = 'WorkerMan';
    public static $stopTimeout = 2;
    public static $onMasterReload = null;
    public static $onMasterStop = null;

    public $id = 0;
    public $name = 'none';
    /** Processes, once: the engine has its threads (wsengine.io_threads), and all clients are in $connections. */
    public $count = 1;
    public $user = '';
    public $group = '';
    public $reloadable = true;
    public $reusePort = false;
    /** "ssl" for TLS. */
    public $transport = 'tcp';
    public $protocol = Websocket::class;
    /** @var array<int, TcpConnection> */
    public $connections = [];

    public $onWorkerStart = null;
    public $onWorkerStop = null;
    public $onWorkerReload = null;
    public $onConnect = null;
    public $onWebSocketConnect = null;
    public $onMessage = null;
    public $onClose = null;
    public $onError = null;
    public $onBufferFull = null;
    public $onBufferDrain = null;

    /** @var list<self> */
    private static array $workers = [];
    private static ?Server $server = null;
    private static bool $stopping = false;

    /**
     * @param string|null $socketName websocket://address:port; null or '': it has only callbacks and timers
     * @param array<string, mixed> $context with the certificate: ['ssl' => ['local_cert' => …, 'local_pk' => …]]
     */
    public function __construct(private $socketName = null, private $context = [])
    {
        if ($this->listens()) {
            if (!\preg_match('~^websocket://~i', $socketName)) {
                Script::fail("new Worker('$socketName'): here a Worker is websocket://address:port, or has no address. "
                    . 'Pages go by wsengine.static_root, other protocols into a script of their own');
            }
            if (\array_filter(self::$workers, static fn (self $worker) => $worker->listens()) !== []) {
                Script::fail("new Worker('$socketName'): one Worker of a script may have an address; events do not say "
                    . 'by which address a client came');
            }
        }
        self::$workers[] = $this;
    }

    /** Serves until SIGINT, SIGTERM or stopAll(). */
    public static function runAll()
    {
        self::obey(\array_slice($_SERVER['argv'] ?? [], 1));
        $worker = \current(\array_filter(self::$workers, static fn (self $worker) => $worker->listens()))
            ?: Script::fail("Worker::runAll() without a new Worker('websocket://address:port')");
        self::$server = Script::listen($worker->options());
        self::safeEcho("Worker $worker->name listens on " . \implode(', ', self::$server->info->addresses) . "\n");
        new Listener($worker, self::$server);
        Timer::start(self::$server);
        foreach (self::$workers as $worker) {
            if ($worker->onWorkerStart) {
                ($worker->onWorkerStart)($worker);
            }
        }
        Script::run(self::$server, static fn () => self::stopAll());
    }

    /** Calls onWorkerStop, then tells the clients (1001) and has runAll() return. */
    public static function stopAll($code = 0, $log = '')
    {
        if (self::$server === null || self::$stopping) {
            return;
        }
        self::$stopping = true;
        self::$server->after(0, static function () {
            try {
                foreach (self::$workers as $worker) {
                    if ($worker->onWorkerStop) {
                        ($worker->onWorkerStop)($worker);
                    }
                }
            } finally {
                self::$server->stop(Script::DRAIN);
            }
        });
    }

    /** @return list<self> */
    public static function getAllWorkers()
    {
        return self::$workers;
    }

    public static function log($msg)
    {
        self::safeEcho(\date('Y-m-d H:i:s') . " $msg\n");
    }

    public static function safeEcho($msg)
    {
        echo $msg;
    }

    public function getSocketName()
    {
        return $this->socketName ?: 'none';
    }

    private function listens(): bool
    {
        return (string) $this->socketName !== '';
    }

    /** @return array<string, mixed> */
    private function options(): array
    {
        if ($this->user !== '' && $this->user !== \posix_getpwuid(\posix_geteuid())['name']) {
            Script::fail("\$worker->user = '$this->user': start the script as $this->user, it is not changed here");
        }
        $address = \preg_replace('~^websocket:~i', $this->transport === 'ssl' ? 'tls:' : 'tcp:', $this->socketName);
        return Listening::options($address, null, Tls::options($this->context) + [
            'handshake_events' => Listener::asks($this),
            'max_message_bytes' => TcpConnection::$defaultMaxPackageSize,
            'send_queue_bytes' => TcpConnection::$defaultMaxSendBufferSize,
        ]);
    }

    /**
     * The words of Workerman's command line; others are the script's own.
     *
     * @param list<string> $words
     */
    private static function obey(array $words): void
    {
        $command = \current(\array_intersect($words, self::COMMANDS)) ?: 'start';
        if ($command !== 'start') {
            Script::fail("$command: there is no master process to ask. start runs the script in the foreground, "
                . 'CTRL-C or SIGTERM end it; a service manager does the rest');
        }
        if (self::$daemonize || \in_array('-d', $words, true)) {
            Script::fail('the script runs in the foreground only; leave the background to a service manager, or nohup');
        }
    }
}
