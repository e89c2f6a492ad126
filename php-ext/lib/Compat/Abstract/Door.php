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
    /** @var array<int, array{Socket, int}> who was asked about but is not connected yet, and since when, in seconds */
    private array $undecided = [];

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
        $this->undecided[$socket->id] = [$socket, \hrtime(true)];
        $user = $this->begin($socket, $handshake->request);
        $refusal = $user === null ? 403 : $this->refusal($user->headers);
        if ($refusal !== null) {
            unset($this->undecided[$socket->id]);
            $handshake->reject($refusal);
            $this->disconnect($socket);
            return;
        }
        [$subprotocol, $headers] = $this->answer($user->headers);
        if (!$handshake->accept($subprotocol, $headers)) {
            unset($this->undecided[$socket->id]);
            $this->disconnect($socket);
        }
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

    /** A client may leave after the answer and before it is connected: who is not in ten seconds has left. */
    private function forgetThoseWhoLeft(): void
    {
        foreach ($this->undecided as $id => [$socket, $since]) {
            if (\hrtime(true) - $since > 10e9 && !$socket->isOpen()) {
                unset($this->undecided[$id]);
                $this->disconnect($socket);
            }
        }
    }
}
