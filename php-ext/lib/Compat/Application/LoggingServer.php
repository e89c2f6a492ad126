<?php
declare(strict_types=1);

namespace WsEngine\Compat\Application;

/** The server of \Bloatless\WebSocket: it prints nothing itself, and counts messages only when it is told to. */
class LoggingServer extends Server
{
    protected ?int $maxRequestsPerMinute = null;
    private ?object $logger = null;

    /** @param object $logger with the method log() of PSR-3 */
    public function setLogger($logger)
    {
        $this->logger = $logger;
    }

    public function addLogger($logger)
    {
        $this->setLogger($logger);
    }

    public function log($message, $type = 'info')
    {
        $this->logger?->log($type, $message);
    }

    protected function nameOf(Connection $client): int|string
    {
        return "{$client->getClientIp()}:{$client->getClientPort()}";
    }
}
