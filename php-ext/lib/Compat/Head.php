<?php
declare(strict_types=1);

namespace WsEngine\Compat;

use WsEngine\Request;

/** The head of a request as text, for scripts that look into it by themselves. */
final class Head
{
    /** With the names of headers as browsers write them. */
    public static function of(Request $request): string
    {
        $head = "$request->method " . self::resource($request) . " HTTP/1.1\r\n";
        foreach ($request->headers as $name => $value) {
            $head .= \str_replace('Websocket', 'WebSocket', \ucwords((string) $name, '-')) . ": $value\r\n";
        }
        return "$head\r\n";
    }

    /** The path with the query, as it came. */
    public static function resource(Request $request): string
    {
        return $request->path . ($request->query === '' ? '' : "?$request->query");
    }
}
