<?php
declare(strict_types=1);

namespace WsEngine\Compat\Workerman;

use WsEngine\Server;
use WsEngine\Timer as EngineTimer;

/** Timers by number. Times are seconds. Those that are added before Worker::runAll() begin with it. */
class Timer
{
    private static ?Server $server = null;
    private static int $lastId = 0;
    /** @var array<int, array{float, callable, array<mixed>, bool}> until there is a server */
    private static array $waiting = [];
    /** @var array<int, EngineTimer> */
    private static array $timers = [];

    /** @return int|false its number; false: the interval is not above 0 */
    public static function add($time_interval, $func, $args = [], $persistent = true)
    {
        if (!($time_interval > 0)) {
            Worker::safeEcho("a timer takes seconds above 0, $time_interval given\n");
            return false;
        }
        $id = ++self::$lastId;
        self::$waiting[$id] = [(float) $time_interval, $func, (array) $args, (bool) $persistent];
        if (self::$server !== null) {
            self::begin($id);
        }
        return $id;
    }

    public static function delay($delay, $func, $args = [])
    {
        return self::add($delay, $func, $args, false);
    }

    public static function repeat($interval, $func, $args = [])
    {
        return self::add($interval, $func, $args);
    }

    public static function del($timer_id)
    {
        (self::$timers[$timer_id] ?? null)?->cancel();
        $known = isset(self::$timers[$timer_id]) || isset(self::$waiting[$timer_id]);
        unset(self::$timers[$timer_id], self::$waiting[$timer_id]);
        return $known;
    }

    public static function delAll()
    {
        foreach (self::$timers + self::$waiting as $id => $timer) {
            self::del($id);
        }
    }

    /** @internal Worker::runAll() calls it */
    public static function start(Server $server): void
    {
        self::$server = $server;
        foreach (\array_keys(self::$waiting) as $id) {
            self::begin($id);
        }
    }

    private static function begin(int $id): void
    {
        [$seconds, $function, $arguments, $repeats] = self::$waiting[$id];
        unset(self::$waiting[$id]);
        $call = static function () use ($id, $function, $arguments, $repeats) {
            if (!$repeats) {
                unset(self::$timers[$id]);
            }
            $function(...$arguments);
        };
        self::$timers[$id] = self::$server->timer(\max(0.001, $seconds), $call, $repeats);
    }
}
