<?php
declare(strict_types=1);

namespace WsEngine\Compat;

/** From the context of PHP's own TLS sockets to the options of the engine. */
final class Tls
{
    /**
     * @param array<string, mixed> $context with local_cert and local_pk, perhaps within "ssl" or "tls"
     * @return array<string, string>
     */
    public static function options(array $context): array
    {
        $context = $context['ssl'] ?? $context['tls'] ?? $context;
        if (!isset($context['local_cert'])) {
            return [];
        }
        return ['tls_cert' => $context['local_cert'], 'tls_key' => $context['local_pk'] ?? $context['local_cert']];
    }
}
