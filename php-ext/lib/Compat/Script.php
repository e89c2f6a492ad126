<?php
declare(strict_types=1);

namespace WsEngine\Compat;

use WsEngine\Exception;
use WsEngine\Server;

/** The life of an old script: it starts or says in one line why not, serves until a signal, and ends as others do. */
final class Script
{
    /** Clients have so many seconds to take what is queued for them and to answer the close. */
    public const DRAIN = 0.5;

    /**
     * Starts the server. Old scripts do not look whether that works: if it does not, the reason goes to standard error
     * and the script ends with 1.
     *
     * @param array<string, mixed> $options
     */
    public static function listen(array $options): Server
    {
        try {
            return Server::listen($options);
        } catch (Exception | \LogicException $error) {
            self::fail($error->getMessage());
        }
    }

    /**
     * Serves until the server was stopped. SIGINT and SIGTERM stop it: clients get close code 1001, and the script goes
     * on after this call. Handlers that the script has set stay. Children that it forks die by these signals.
     *
     * @param (callable(): void)|null $stop what to do at a signal instead of stopping
     */
    public static function run(Server $server, ?callable $stop = null): void
    {
        $stop ??= static fn () => $server->stop(self::DRAIN);
        if (\function_exists('pcntl_async_signals')) {
            \pcntl_async_signals(true);
            $parent = \getmypid();
            $end = static fn () => \getmypid() === $parent ? $stop() : self::endChild();
            foreach ([\SIGINT, \SIGTERM] as $signal) {
                if (\pcntl_signal_get_handler($signal) === \SIG_DFL) {
                    \pcntl_signal($signal, $end);
                }
            }
        }
        $server->run();
    }

    /** Ends a forked child at once: shutdown functions and destructors are the parent's. */
    public static function endChild(): never
    {
        if (\function_exists('posix_kill')) {
            \posix_kill(\getmypid(), \SIGKILL);
        }
        exit;
    }

    /** Ends the script with a reason. */
    public static function fail(string $reason): never
    {
        \fwrite(\STDERR, "$reason\n");
        exit(1);
    }
}
