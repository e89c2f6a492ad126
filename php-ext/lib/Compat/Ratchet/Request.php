<?php
declare(strict_types=1);

namespace WsEngine\Compat\Ratchet;

use WsEngine\Request as Engine;

/** Where no PSR-7 implementation is installed: the request of a client, as far as components read it. */
final class Request
{
    private function __construct(private readonly Engine $request, private readonly Uri $uri)
    {
    }

    /** @param array<string, string> $parameters which go into the query, as with Ratchet's router */
    public static function of(Engine $request, array $parameters): object
    {
        $query = \trim(\http_build_query($parameters) . "&$request->query", '&');
        $uri = new Uri($request->headers['host'] ?? '', $request->path, $query);
        foreach ([\GuzzleHttp\Psr7\Request::class, \Nyholm\Psr7\Request::class] as $psr) {
            try {
                if (\class_exists($psr)) {
                    return new $psr($request->method, (string) $uri, $request->headers);
                }
            } catch (\InvalidArgumentException) {
                // A stranger may send a Host that is none.
            }
        }
        return new self($request, $uri);
    }

    public function getMethod(): string
    {
        return $this->request->method;
    }

    public function getUri(): Uri
    {
        return $this->uri;
    }

    public function getRequestTarget(): string
    {
        return $this->uri->target();
    }

    public function getProtocolVersion(): string
    {
        return '1.1';
    }

    /** @return array<string, list<string>> */
    public function getHeaders(): array
    {
        return \array_map(static fn ($value) => [$value], $this->request->headers);
    }

    public function hasHeader($name): bool
    {
        return isset($this->request->headers[\strtolower($name)]);
    }

    /** @return list<string> */
    public function getHeader($name): array
    {
        return $this->hasHeader($name) ? [$this->request->headers[\strtolower($name)]] : [];
    }

    public function getHeaderLine($name): string
    {
        return $this->request->headers[\strtolower($name)] ?? '';
    }
}
