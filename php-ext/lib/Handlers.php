<?php
declare(strict_types=1);

namespace WsEngine;

use Psr\Log\LoggerInterface;
use Throwable;
use ValueError;

/**
 * What the script does on each event, and who is told when it throws.
 *
 * @internal
 */
final class Handlers
{
    /** @var array<string, list<\Closure>> by the event's name */
    public array $of = [
        'handshake' => [], 'open' => [], 'message' => [], 'drain' => [], 'close' => [], 'error' => [],
        'backplane' => [], 'stop' => [],
    ];

    public function __construct(private readonly ?LoggerInterface $logger)
    {
    }

    public function add(string $event, callable $handler): void
    {
        if (!isset($this->of[$event])) {
            throw new ValueError("there is no event \"$event\"; there are " . \implode(', ', \array_keys($this->of)));
        }
        // A closure is called faster than the other forms.
        $this->of[$event][] = $handler(...);
    }

    /** @param string $who threw it; '' if the engine reports it */
    public function report(Throwable $error, ?Connection $connection, string $who): void
    {
        // No foreach: when a signal's handler throws as that ends, PHP never frees the list.
        $handlers = $this->of['error'];
        for ($next = 0; isset($handlers[$next]);) {
            try {
                $handlers[$next++]($error, $connection);
            } catch (Throwable $second) {
                $this->log($second, $connection, 'the handler of "error"');
            }
        }
        if ($handlers === []) {
            $this->log($error, $connection, $who);
        }
    }

    private function log(Throwable $error, ?Connection $connection, string $who): void
    {
        $text = self::text($error, $who);
        try {
            $context = ['exception' => $error] + ($connection === null ? [] : ['connection' => $connection->id]);
            if ($this->logger !== null) {
                $this->logger->error($text, $context);
            } else {
                self::write($text);
            }
        } catch (Throwable $second) {
            // A logger whose disk is full must not end the server.
            self::write($text);
            $text = self::text($second, 'the logger');
            self::write($text);
        }
    }

    private static function text(Throwable $error, string $who): string
    {
        [$class, $message, $file, $line] = [$error::class, $error->getMessage(), $error->getFile(), $error->getLine()];
        return $who === '' ? $message : "$who threw $class: $message in $file:$line";
    }

    private static function write(string $text): void
    {
        $now = \date('Y-m-d H:i:s');
        $line = "[$now] wsengine error: $text\n";
        try {
            // Some interfaces of PHP have no STDERR, a daemon may have closed it; to open the other takes a descriptor.
            if (\defined('STDERR') && \is_resource(\constant('STDERR'))) {
                @\fwrite(\STDERR, $line);
            } else {
                @\file_put_contents('php://stderr', $line);
            }
        } catch (Throwable) {
            // A script may make exceptions of warnings; there is nobody left to tell.
        }
    }
}
