<?php
declare(strict_types=1);

namespace WsEngine\Compat;

use WsEngine\Request;

/**
 * What old scripts keep as the socket of a user, pass to send() and compare. There is one for each connection, and it
 * is no socket of PHP's: socket_write() and its like do not take it.
 */
final class Socket
{
    /**
     * @internal the adapters make them
     * @param int $id the connection
     * @param string $ip of the client
     */
    public function __construct(public readonly int $id, public readonly string $ip = '')
    {
    }

    /** @internal */
    public static function from(int $id, Request $request): self
    {
        return new self($id, Peer::of($request->peer)->ip);
    }

    /** The socket that is meant: itself, or that of a user in the property "socket". Null: there is none. */
    public static function of(mixed $meant): ?self
    {
        if (\is_object($meant) && !$meant instanceof self) {
            $meant = $meant->socket ?? null;
        }
        return $meant instanceof self ? $meant : null;
    }

    /**
     * Queues a message: as text, and what is not UTF-8 as binary, since a browser ends the connection at such text.
     * False: the connection is gone, or its send queue is full.
     *
     * @param string|int|float|bool|\Stringable|null $data
     */
    public function send(mixed $data): bool
    {
        $data = (string) $data;
        return \ws_send($this->id, $data, \preg_match('//u', $data) !== 1);
    }

    /** Closes the connection after what is queued for it. False: it is gone, or closing already. */
    public function close(int $code = 1000, string $reason = ''): bool
    {
        // 1004 said "too large" in the drafts and has no meaning any more (RFC 6455, 7.4.1).
        return \ws_close($this->id, $code === 1004 ? 1009 : $code, $reason);
    }

    /** Can messages be sent to it? */
    public function isOpen(): bool
    {
        return \ws_is_open($this->id);
    }

    /** As PHP printed sockets when these scripts were written. */
    public function __toString(): string
    {
        return "Resource id #$this->id";
    }
}
