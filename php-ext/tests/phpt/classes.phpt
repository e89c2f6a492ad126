--TEST--
The classes are final with typed readonly properties, and the types of events are constants
--FILE--
<?php
foreach (['Event', 'Request', 'ServerInfo'] as $name) {
    $class = new ReflectionClass("WsEngine\\$name");
    echo $class->isFinal() ? 'final ' : '', "$name\n";
    foreach ($class->getProperties() as $property) {
        echo '  ', $property->isReadOnly() ? 'readonly ' : '', $property->getType(), ' $', $property->getName(), "\n";
    }
    foreach ($class->getConstants() as $constant => $value) {
        echo "  $constant = $value\n";
    }
}
?>
--EXPECT--
final Event
  readonly string $type
  readonly int $conn
  readonly ?string $data
  readonly bool $binary
  readonly int $code
  readonly bool $clean
  readonly ?WsEngine\Request $request
  HANDSHAKE = handshake
  OPEN = open
  MESSAGE = message
  CLOSE = close
  DRAIN = drain
  ERROR = error
  STOPPED = stopped
  BACKPLANE = backplane
final Request
  readonly string $method
  readonly string $path
  readonly string $query
  readonly array $headers
  readonly array $cookies
  readonly string $peer
  readonly ?string $origin
  readonly array $subprotocols
  readonly ?string $subprotocol
  readonly bool $tls
final ServerInfo
  readonly string $address
  readonly int $port
  readonly array $addresses
