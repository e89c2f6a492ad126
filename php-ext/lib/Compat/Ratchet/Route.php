<?php
declare(strict_types=1);

namespace WsEngine\Compat\Ratchet;

use WsEngine\Compat\Script;
use WsEngine\Request as Engine;

/** To which requests a WsServer belongs. */
final class Route
{
    public readonly WsServer $server;
    /** @var list<string>|null hosts of pages; null: the option origins decides */
    private ?array $origins = null;
    private ?string $path = null;
    private ?string $host = null;

    /** Takes off what is around a WsServer: an HttpServer, an OriginCheck. */
    public function __construct(object $app)
    {
        for ($inner = $app; !$inner instanceof WsServer; $inner = $inner->component) {
            if ($inner instanceof OriginCheck) {
                $this->origins = $inner->allowedOrigins;
            } elseif ($inner instanceof \Ratchet\ComponentInterface) {
                $class = $inner::class;
                Script::fail("$class needs a WsServer around it: new HttpServer(new WsServer(…))");
            } elseif (!$inner instanceof HttpServer) {
                Script::fail($inner::class . ' is not served here, only HttpServer, OriginCheck and WsServer');
            }
        }
        $this->server = $inner;
    }

    /**
     * @param string $path may have {name}, which stands for anything but a slash
     * @param list<string> $origins
     */
    public function at(string $path, string $host, array $origins): self
    {
        $this->path = '#^' . \preg_replace('/\\\\\{(\w+)\\\\\}/', '(?<$1>[^/]+)', \preg_quote($path, '#')) . '$#D';
        $this->host = \strtolower($host);
        $this->origins = \reset($origins) === '*' ? $this->origins : $origins;
        return $this;
    }

    /** Must requests be looked at, or is it for all? */
    public function isPicky(): bool
    {
        return $this->path !== null || $this->origins !== null || $this->server->subprotocols() !== [];
    }

    /** @return array<string, string>|null what stood in the places of {name}; null: it is not for this request */
    public function match(Engine $request): ?array
    {
        if ($this->path === null) {
            return [];
        }
        $host = (new Uri($request->headers['host'] ?? ''))->getHost();
        if ($host !== $this->host || \preg_match($this->path, $request->path, $found) !== 1) {
            return null;
        }
        return \array_map('rawurldecode', \array_filter($found, 'is_string', \ARRAY_FILTER_USE_KEY));
    }

    public function allows(?string $origin): bool
    {
        $host = \parse_url((string) $origin, \PHP_URL_HOST) ?: (string) $origin;
        return $this->origins === null || \in_array($host, $this->origins, true);
    }
}
