<?php
declare(strict_types=1);

namespace WsEngine\Tests;

/**
 * A WebSocket client in plain PHP, for tests only: blocking, every wait has an end, and it does what a test asks
 * for, sound or not. It knows nothing of the extension.
 */
final class Client
{
    public const TEXT = 1;
    public const BINARY = 2;
    public const CLOSE = 8;
    public const PING = 9;
    public const PONG = 10;

    /** Lower-case names with their values, of the response to the handshake; several of one name joined by ", ". */
    public readonly array $headers;
    public readonly int $status;
    /** @var resource */
    private $socket;
    private string $buffer = '';

    /**
     * @param string $address as ServerInfo has it
     * @param array<string, string> $headers further ones for the request, or others in the place of the usual
     * @param array<string, mixed> $tls PHP's options for TLS; which certificates are trusted, for example
     * @param bool $wait for the answer to the handshake; else answer() does
     */
    public function __construct(
        string $address,
        string $path = '/',
        array $headers = [],
        private float $timeout = 5.0,
        array $tls = [],
        bool $wait = true,
    ) {
        [$target, $host] = match (true) {
            str_starts_with($address, 'unix:') => ['unix://' . substr($address, 5), 'localhost'],
            str_starts_with($address, 'tls://') => [$address, substr($address, 6)],
            default => ["tcp://$address", $address],
        };
        $context = stream_context_create(['ssl' => $tls]);
        $socket = @stream_socket_client($target, $errno, $error, $timeout, context: $context);
        if ($socket === false) {
            throw new \RuntimeException("cannot connect to $address: $error", $errno);
        }
        $this->socket = $socket;
        stream_set_blocking($socket, false);
        $headers += [
            'Host' => $host,
            'Upgrade' => 'websocket',
            'Connection' => 'Upgrade',
            'Sec-WebSocket-Version' => '13',
            'Sec-WebSocket-Key' => base64_encode(random_bytes(16)),
        ];
        $request = "GET $path HTTP/1.1\r\n";
        foreach ($headers as $name => $value) {
            $request .= "$name: $value\r\n";
        }
        $this->write("$request\r\n");
        if ($wait) {
            $this->answer();
        }
    }

    /** Waits for the answer to the handshake and gives its status. */
    public function answer(): int
    {
        [$this->status, $this->headers] = $this->readHead();
        return $this->status;
    }

    /** What a refusal says, which ends the connection. */
    public function body(): string
    {
        $this->ended();
        return $this->buffer;
    }

    public function send(string $data, int $opcode = self::TEXT): void
    {
        $this->write(self::frame($opcode, $data));
    }

    public function close(int $code = 1000, string $reason = ''): void
    {
        $this->send(pack('n', $code) . $reason, self::CLOSE);
    }

    /** Ends the connection without a closing handshake. */
    public function cut(): void
    {
        fclose($this->socket);
    }

    /**
     * The next frame as [opcode, payload]; null when nothing came in time or the connection has ended. Messages
     * come unfragmented from the engine, so frames are messages.
     */
    public function receive(?float $timeout = null): ?array
    {
        $deadline = microtime(true) + ($timeout ?? $this->timeout);
        while (($frame = $this->takeFrame()) === null) {
            if (!$this->read($deadline)) {
                return null;
            }
        }
        return $frame;
    }

    /** The payload of the next message of this kind; anything else is an error. */
    public function expect(int $opcode = self::TEXT, ?float $timeout = null): string
    {
        [$got, $payload] = $this->receive($timeout) ?? throw new \RuntimeException('nothing came');
        if ($got !== $opcode) {
            throw new \RuntimeException("frame $got came instead of $opcode: " . bin2hex(substr($payload, 0, 130)));
        }
        return $payload;
    }

    /** Waits for a close frame, whatever comes before, and gives [code, reason]; null when there is none. */
    public function closed(?float $timeout = null): ?array
    {
        while (($frame = $this->receive($timeout)) !== null) {
            if ($frame[0] === self::CLOSE) {
                return strlen($frame[1]) < 2 ? [1005, ''] : [unpack('n', $frame[1])[1], substr($frame[1], 2)];
            }
        }
        return null;
    }

    /** Has the server ended the connection? Then this side ends it too. */
    public function ended(float $timeout = 5.0): bool
    {
        $deadline = microtime(true) + $timeout;
        while (!feof($this->socket) && microtime(true) < $deadline) {
            $this->read($deadline);
        }
        return feof($this->socket) && fclose($this->socket);
    }

    /** Ends the connection as a browser does that the server closes: the code back, then the end. */
    public function answerClose(int $code): void
    {
        $this->close($code);
        $this->ended();
    }

    public static function frame(int $opcode, string $data): string
    {
        $length = strlen($data);
        $head = chr(0x80 | $opcode) . match (true) {
            $length < 126 => chr(0x80 | $length),
            $length < 65536 => chr(0xFE) . pack('n', $length),
            default => chr(0xFF) . pack('J', $length),
        };
        $key = random_bytes(4);
        return $head . $key . ($data ^ substr(str_repeat($key, intdiv($length, 4) + 1), 0, $length));
    }

    private function takeFrame(): ?array
    {
        if (strlen($this->buffer) < 2) {
            return null;
        }
        $length = ord($this->buffer[1]) & 0x7F;
        $head = [126 => 4, 127 => 10][$length] ?? 2;
        if (strlen($this->buffer) < $head) {
            return null;
        }
        $length = match ($length) {
            126 => unpack('n', $this->buffer, 2)[1],
            127 => unpack('J', $this->buffer, 2)[1],
            default => $length,
        };
        if (strlen($this->buffer) < $head + $length) {
            return null;
        }
        $frame = [ord($this->buffer[0]) & 0x0F, substr($this->buffer, $head, $length)];
        $this->buffer = substr($this->buffer, $head + $length);
        return $frame;
    }

    private function readHead(): array
    {
        $deadline = microtime(true) + $this->timeout;
        while (($end = strpos($this->buffer, "\r\n\r\n")) === false) {
            if (!$this->read($deadline)) {
                throw new \RuntimeException("no response to the handshake: $this->buffer");
            }
        }
        $lines = explode("\r\n", substr($this->buffer, 0, $end));
        $this->buffer = substr($this->buffer, $end + 4);
        $headers = [];
        foreach (array_slice($lines, 1) as $line) {
            [$name, $value] = explode(':', strtolower($line), 2);
            $value = trim(substr($line, strlen($name) + 1));
            $headers[$name] = isset($headers[$name]) ? "$headers[$name], $value" : $value;
        }
        return [(int) explode(' ', $lines[0])[1], $headers];
    }

    /** Reads what there is, or waits for it; false at the deadline and at the end of the stream. */
    private function read(float $deadline): bool
    {
        while (true) {
            // Before the wait: TLS may have bytes that the socket below it has no more.
            $bytes = (string) @fread($this->socket, 1 << 20);
            if ($bytes !== '') {
                $this->buffer .= $bytes;
                return true;
            }
            $left = $deadline - microtime(true);
            if ($left <= 0 || feof($this->socket)) {
                return false;
            }
            // It may end early: by a signal, or for bytes that are TLS's own.
            $read = [$this->socket];
            $write = $except = null;
            @stream_select($read, $write, $except, (int) $left, (int) (fmod($left, 1.0) * 1e6));
        }
    }

    private function write(string $bytes): void
    {
        $deadline = microtime(true) + $this->timeout;
        while ($bytes !== '') {
            $write = [$this->socket];
            $read = $except = null;
            @stream_select($read, $write, $except, 1);
            $written = @fwrite($this->socket, $bytes);
            if ($written === false || microtime(true) > $deadline) {
                throw new \RuntimeException('cannot write to the server');
            }
            $bytes = substr($bytes, $written);
        }
    }
}
