<?php
declare(strict_types=1);

namespace WsEngine\Compat\Ratchet;

/** Where a client wanted to connect to; where no PSR-7 implementation is installed, also for components. */
final class Uri
{
    public function __construct(
        private readonly string $host,
        private readonly string $path = '/',
        private readonly string $query = '',
    ) {
    }

    public function getScheme(): string
    {
        return 'http';
    }

    public function getHost(): string
    {
        return \strtolower(\preg_replace('/:\d*$/D', '', $this->host));
    }

    public function getPort(): ?int
    {
        return \preg_match('/:(\d+)$/D', $this->host, $found) === 1 ? (int) $found[1] : null;
    }

    public function getAuthority(): string
    {
        return $this->host;
    }

    public function getPath(): string
    {
        return $this->path;
    }

    public function getQuery(): string
    {
        return $this->query;
    }

    public function target(): string
    {
        return $this->path . ($this->query === '' ? '' : "?$this->query");
    }

    public function __toString(): string
    {
        return ($this->host === '' ? '' : "http://$this->host") . $this->target();
    }
}
