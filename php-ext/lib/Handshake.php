<?php
declare(strict_types=1);

namespace WsEngine;

/** A client that waits to be let in. It may be decided on later, within the option handshake_timeout_ms. */
final class Handshake
{
    /** @var array<string, mixed> what its Connection will begin with, such as who it is */
    public array $attributes = [];

    /**
     * @internal the server makes them
     * @param (\Closure(Handshake): void)|null $accepted is told when it was let in
     */
    public function __construct(
        public readonly int $id,
        public readonly Request $request,
        private readonly ?\Closure $accepted = null,
    ) {
    }

    /**
     * Lets it in: its "open" follows, unless it has gone meanwhile. False: too late.
     *
     * @param array<string, string|int|list<string|int>> $headers of the answer
     */
    public function accept(?string $subprotocol = null, array $headers = []): bool
    {
        if (!\ws_accept($this->id, $subprotocol, $headers)) {
            return false;
        }
        if ($this->accepted !== null) {
            ($this->accepted)($this);
        }
        return true;
    }

    /**
     * Turns it away with a status of HTTP. False: too late.
     *
     * @param array<string, string|int|list<string|int>> $headers of the answer
     */
    public function reject(int $status = 403, string $body = '', array $headers = []): bool
    {
        return \ws_reject($this->id, $status, $body, $headers);
    }
}
