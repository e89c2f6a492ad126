<?php
declare(strict_types=1);

namespace WsEngine;

/** A client. It may be kept after its end: then nothing can be sent and all methods say false. */
final class Connection
{
    /** @var array<string, mixed> yours: a name, a session, what you like */
    public array $attributes = [];

    /** @internal the server makes them */
    public function __construct(public readonly int $id, public readonly Request $request)
    {
    }

    /** Queues a text message. False: it is gone, or its send queue is full and a drain event follows. */
    public function send(string $text): bool
    {
        return \ws_send($this->id, $text);
    }

    /** Queues a binary message. */
    public function sendBinary(string $bytes): bool
    {
        return \ws_send($this->id, $bytes, true);
    }

    /**
     * Queues $value as a text message in JSON.
     *
     * @throws \JsonException if it has no form in JSON
     */
    public function json(mixed $value): bool
    {
        $flags = \JSON_UNESCAPED_UNICODE | \JSON_UNESCAPED_SLASHES | \JSON_PRESERVE_ZERO_FRACTION;
        $text = \json_encode($value, \JSON_THROW_ON_ERROR | $flags);
        return \ws_send($this->id, $text);
    }

    /**
     * Has it get what is published to $topic. False: it is gone.
     *
     * @param string|null $since what it says of how far it has got, '' if it is new; for topics of the option history
     * @param string|null $label how it is shown to others, '' not at all; for topics of the option presence
     */
    public function subscribe(string $topic, ?string $since = null, ?string $label = null): bool
    {
        return \ws_subscribe($this->id, $topic, $since, $label);
    }

    /** False: it was not subscribed, or is gone. */
    public function unsubscribe(string $topic): bool
    {
        return \ws_unsubscribe($this->id, $topic);
    }

    /** Closes it after what is queued for it; its "close" follows. False: it is gone, or closing already. */
    public function close(int $code = 1000, string $reason = ''): bool
    {
        return \ws_close($this->id, $code, $reason);
    }

    /** Can messages be sent to it? */
    public function isOpen(): bool
    {
        return \ws_is_open($this->id);
    }
}
