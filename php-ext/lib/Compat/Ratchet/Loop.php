<?php
declare(strict_types=1);

namespace WsEngine\Compat\Ratchet;

use WsEngine\Compat\Script;
use WsEngine\Server;
use WsEngine\Timer;

/** What scripts use of React's event loop when they have none of React's own: timers. Times are seconds. */
final class Loop
{
    /** @internal IoServer makes it */
    public function __construct(private readonly Server $server)
    {
    }

    /** @param callable(Timer): mixed $callback */
    public function addTimer($interval, callable $callback): Timer
    {
        return $this->server->timer(\max(0.0, (float) $interval), $callback);
    }

    /** @param callable(Timer): mixed $callback */
    public function addPeriodicTimer($interval, callable $callback): Timer
    {
        return $this->server->timer(\max(0.001, (float) $interval), $callback, true);
    }

    public function cancelTimer(Timer $timer): void
    {
        $timer->cancel();
    }

    /** Calls it as soon as the events that have come are done. */
    public function futureTick(callable $listener): void
    {
        $this->server->after(0, static fn () => $listener());
    }

    public function addSignal($signal, callable $listener): void
    {
        \pcntl_async_signals(true);
        \pcntl_signal($signal, $listener);
    }

    /** Serves until it is stopped. */
    public function run(): void
    {
        if (!$this->server->isStopped()) {
            Script::run($this->server);
        }
    }

    /** Clients get close code 1001. */
    public function stop(): void
    {
        $this->server->stop(Script::DRAIN);
    }

    public function __call(string $name, array $arguments): never
    {
        throw new \BadMethodCallException("this loop has no $name(), only timers, futureTick(), addSignal(), run() and "
            . 'stop(); for streams give a loop of React\'s to new IoServer() or new App()');
    }
}
