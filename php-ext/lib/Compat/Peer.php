<?php
declare(strict_types=1);

namespace WsEngine\Compat;

/** Where a client comes from, in the parts that old scripts ask for. */
final class Peer
{
    private function __construct(public readonly string $ip, public readonly int $port)
    {
    }

    /** Takes apart Request::$peer. Where a proxy has named the client, and by a Unix socket, the port is 0. */
    public static function of(string $peer): self
    {
        if (\str_starts_with($peer, 'unix:')) {
            return new self('', 0);
        }
        return \preg_match('/^(?:\[([^]]*)\]|([^:]*)):(\d+)$/D', $peer, $found) === 1
            ? new self($found[1] . $found[2], (int) $found[3])
            : new self($peer, 0);
    }

    /** As the sockets of PHP say it: ip:port, or [ip]:port. */
    public function __toString(): string
    {
        return (\str_contains($this->ip, ':') ? "[$this->ip]" : $this->ip) . ":$this->port";
    }
}
