<?php
declare(strict_types=1);

namespace WsEngine\Compat\Workerman;

use WsEngine\Compat\Head;
use WsEngine\Request as Engine;

/** The request of a client, for onWebSocketConnect: the object of Workerman 5 and, as a string, the head of before. */
final class Request implements \Stringable
{
    /** @internal the server makes them */
    public function __construct(private readonly Engine $request)
    {
    }

    public function method(): string
    {
        return $this->request->method;
    }

    public function protocolVersion(): string
    {
        return '1.1';
    }

    /** Path and query. */
    public function uri(): string
    {
        return Head::resource($this->request);
    }

    public function path(): string
    {
        return $this->request->path;
    }

    public function queryString(): string
    {
        return $this->request->query;
    }

    public function host($withoutPort = false): ?string
    {
        $host = $this->request->headers['host'] ?? null;
        return $host !== null && $withoutPort ? \preg_replace('/:\d+$/D', '', $host) : $host;
    }

    public function get($name = null, $default = null): mixed
    {
        \parse_str($this->request->query, $values);
        return $name === null ? $values : $values[$name] ?? $default;
    }

    public function header($name = null, $default = null): mixed
    {
        $headers = $this->request->headers;
        return $name === null ? $headers : $headers[\strtolower($name)] ?? $default;
    }

    public function cookie($name = null, $default = null): mixed
    {
        $values = \array_map('urldecode', $this->request->cookies);
        return $name === null ? $values : $values[$name] ?? $default;
    }

    public function rawHead(): string
    {
        return Head::of($this->request);
    }

    public function __toString(): string
    {
        return $this->rawHead();
    }

    /** Has $callback see the request in $_SERVER, $_GET and $_COOKIE, as with Workerman before 5. */
    public function asGlobals(callable $callback): void
    {
        $before = [$_SERVER, $_GET, $_COOKIE];
        $_SERVER = [
            'REQUEST_METHOD' => $this->request->method,
            'REQUEST_URI' => $this->uri(),
            'SERVER_PROTOCOL' => 'HTTP/1.1',
            'QUERY_STRING' => $this->request->query,
            'SERVER_NAME' => $this->host(true) ?? '',
        ];
        if (\preg_match('/:(\d+)$/D', $this->host() ?? '', $found) === 1) {
            $_SERVER['SERVER_PORT'] = $found[1];
        }
        foreach ($this->request->headers as $name => $value) {
            $_SERVER['HTTP_' . \strtoupper(\strtr($name, '-', '_'))] = $value;
        }
        $_GET = $this->get();
        $_COOKIE = $this->cookie();
        try {
            $callback();
        } finally {
            [$_SERVER, $_GET, $_COOKIE] = $before;
        }
    }
}
