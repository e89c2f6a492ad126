<?php
declare(strict_types=1);

namespace WsEngine\Compat\Abstract;

use WsEngine\Compat\Socket;
use WsEngine\Handshake;

/** The part of WebSocketServer that decides who comes in. */
trait Door
{
    protected $headerOriginRequired = false;
    protected $headerSecWebSocketProtocolRequired = false;
    protected $headerSecWebSocketExtensionsRequired = false;
    /** @var array<int, true> those who may come in but are not connected yet */
    private array $expected = [];

    protected function checkHost($hostName)
    {
        return true;
    }

    /** Is asked if $headerOriginRequired is true. */
    protected function checkOrigin($origin)
    {
        return true;
    }

    /** Is asked if $headerSecWebSocketProtocolRequired is true. */
    protected function checkWebsocProtocol($protocol)
    {
        return true;
    }

    /** Is asked if $headerSecWebSocketExtensionsRequired is true. */
    protected function checkWebsocExtensions($extensions)
    {
        return true;
    }

    /** @return string nothing, or "Sec-WebSocket-Protocol: " with one that the client offers and a line's end */
    protected function processProtocol($protocol)
    {
        return '';
    }

    /** Is never asked: the engine agrees on extensions, see its option compression. */
    protected function processExtensions($extensions)
    {
        return '';
    }

    /** Has the script anything to say before a handshake is answered? If not, the engine answers by itself. */
    private function hasSayBefore(): bool
    {
        $overridden = fn (string $name): bool => (new \ReflectionMethod($this, $name))->class !== self::class;
        return $this->headerOriginRequired || $this->headerSecWebSocketProtocolRequired
            || $this->headerSecWebSocketExtensionsRequired
            || \array_filter(['connecting', 'checkHost', 'processProtocol'], $overridden) !== [];
    }

    private function decide(Handshake $handshake): void
    {
        $socket = Socket::from($handshake->id, $handshake->request);
        $handshake->attributes['socket'] = $socket;
        $comes = false;
        try {
            $user = $this->begin($socket, $handshake->request);
            $refusal = $user === null ? 403 : $this->refusal($user->headers);
            if ($refusal === null) {
                $comes = $handshake->accept(...$this->answer($user->headers));
            } else {
                $handshake->reject($refusal);
            }
        } finally {
            if ($comes) {
                $this->expect($socket);
            } else {
                $this->disconnect($socket);
            }
        }
    }

    /** Of one that resets its connection now there is no event: after some seconds it will not come any more. */
    private function expect(Socket $socket): void
    {
        $this->expected[$socket->id] = true;
        $this->engine->after(5.0, function () use ($socket): void {
            if (isset($this->expected[$socket->id])) {
                unset($this->expected[$socket->id]);
                $this->disconnect($socket);
            }
        });
    }

    /**
     * @param array<string, string> $headers
     * @return int|null the status of HTTP if the client may not come in
     */
    private function refusal(array $headers): ?int
    {
        $refuses = fn (bool $required, string $header, string $check): bool =>
            $required && !(isset($headers[$header]) && $this->$check($headers[$header]));
        return match (true) {
            $refuses(true, 'host', 'checkHost') => 400,
            $refuses($this->headerOriginRequired, 'origin', 'checkOrigin') => 403,
            $refuses(
                $this->headerSecWebSocketProtocolRequired,
                'sec-websocket-protocol',
                'checkWebsocProtocol',
            ) => 400,
            $refuses(
                $this->headerSecWebSocketExtensionsRequired,
                'sec-websocket-extensions',
                'checkWebsocExtensions',
            ) => 400,
            default => null,
        };
    }

    /**
     * From the lines of processProtocol() to what the engine takes.
     *
     * @param array<string, string> $headers of the request
     * @return array{?string, array<string, string>} the subprotocol, other headers
     */
    private function answer(array $headers): array
    {
        $subprotocol = null;
        $others = [];
        if (isset($headers['sec-websocket-protocol'])) {
            foreach (\explode("\n", (string) $this->processProtocol($headers['sec-websocket-protocol'])) as $line) {
                [$name, $value] = \array_map('trim', \explode(':', $line, 2)) + [1 => ''];
                if (\strcasecmp($name, 'Sec-WebSocket-Protocol') === 0) {
                    $subprotocol = $value;
                } elseif ($name !== '') {
                    $others[$name] = $value;
                }
            }
        }
        return [$subprotocol, $others];
    }
}
