--TEST--
Reflection shows the true types, defaults and results of all functions
--FILE--
<?php
foreach ((new ReflectionExtension('wsengine'))->getFunctions() as $function) {
    $parameters = array_map(
        fn ($p) => $p->getType() . ' $' . $p->getName()
            . ($p->isOptional() ? ' = ' . str_replace("array (\n)", '[]', var_export($p->getDefaultValue(), true)) : ''),
        $function->getParameters(),
    );
    $result = $function->hasReturnType() ? ": {$function->getReturnType()}" : '';
    echo $function->getName(), '(', implode(', ', $parameters), ')', $result, "\n";
}
?>
--EXPECT--
ws_server_start(array|string $options = []): WsEngine\ServerInfo
ws_poll_event(float $timeout = -1.0): ?WsEngine\Event
ws_poll_events(int $max = 256, float $timeout = -1.0): array
ws_send(int $conn, string $data, bool $binary = false): bool
ws_broadcast(string $data, bool $binary = false, array $except = []): int
ws_subscribe(int $conn, string $topic, ?string $since = NULL, ?string $label = NULL): bool
ws_unsubscribe(int $conn, string $topic): bool
ws_publish(string $topic, string $data, bool $binary = false, array $except = []): int
ws_members(string $topic): int
ws_presence(string $topic): array
ws_accept(int $conn, ?string $subprotocol = NULL, array $headers = []): bool
ws_reject(int $conn, int $status = 403, string $body = '', array $headers = []): bool
ws_close(int $conn, int $code = 1000, string $reason = ''): bool
ws_is_open(int $conn): bool
ws_connections(): array
ws_event_stream()
ws_stats(): array
ws_tls_reload(): void
ws_server_stop(?float $drain = NULL): void
