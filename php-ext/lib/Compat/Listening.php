<?php
declare(strict_types=1);

namespace WsEngine\Compat;

/** From the address and port of an old constructor to the options of the engine. */
final class Listening
{
    /**
     * Where to listen, and what else an adapter wants. What php.ini or -d sets goes before both, also listen: so a
     * script can be moved, to TLS for instance, without a change.
     *
     * @param array<string, mixed> $wanted
     * @return array<string, mixed>
     */
    public static function options(mixed $address, mixed $port = null, array $wanted = []): array
    {
        $options = ['listen' => self::at($address, $port)] + $wanted;
        $unset = static fn (string $name): bool => \get_cfg_var("wsengine.$name") === false;
        return \array_filter($options, $unset, \ARRAY_FILTER_USE_KEY);
    }

    /**
     * The value of the option listen. 0, * and nothing mean every address; IPv6 may have brackets or not; the port may
     * stand in the address, as in tcp://0.0.0.0:8000.
     */
    public static function at(mixed $address, mixed $port = null): string
    {
        $address = \trim((string) $address);
        if (\preg_match('~^unix:(?://)?(/.*)$~D', $address, $found)) {
            return "unix:$found[1]";
        }
        $secure = \preg_match('~^(?:ssl|tls|wss|https)://~i', $address) === 1;
        $host = \rtrim(\preg_replace('~^[a-z]+://~i', '', $address), '/');
        // Of an address in brackets or with one colon, what follows the last colon is a port.
        if (\preg_match('~^(\[.*\]|[^:]*):(\d+)$~D', $host, $found)) {
            [, $host, $inside] = $found;
            $port ??= $inside;
        }
        $host = \in_array($host, ['', '0', '*'], true) ? '0.0.0.0' : $host;
        $host = \str_contains($host, ':') && $host[0] !== '[' ? "[$host]" : $host;
        return ($secure ? 'tls://' : '') . "$host:" . \trim((string) $port);
    }
}
