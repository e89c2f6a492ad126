<?php
declare(strict_types=1);

namespace WsEngine\Compat\Ratchet;

/** Around a component: WebSocket is spoken, with the subprotocols that the component names. */
class WsServer
{
    private bool $strict = true;

    public function __construct(public readonly \Ratchet\ComponentInterface $component)
    {
    }

    /** With it a client is refused that offers only subprotocols which are not spoken, or none where some are. */
    public function setStrictSubProtocolCheck($enable)
    {
        $this->strict = (bool) $enable;
    }

    /** Nothing: the engine pings everybody. */
    public function enableKeepAlive($loop, $interval = 30)
    {
    }

    /** @return list<string> */
    public function subprotocols(): array
    {
        $speaks = $this->component instanceof \Ratchet\WebSocket\WsServerInterface;
        return $speaks ? \array_values($this->component->getSubProtocols()) : [];
    }

    /**
     * The first that the client offers and the component speaks; null: none. False: it is refused.
     *
     * @param list<string> $offered
     */
    public function choose(array $offered): string|false|null
    {
        $spoken = $this->subprotocols();
        $chosen = \array_values(\array_intersect($offered, $spoken))[0] ?? null;
        return $chosen === null && $this->strict && ($offered !== [] || $spoken !== []) ? false : $chosen;
    }

    /** A message in the form that the component takes. */
    public function message(string $data, bool $binary): mixed
    {
        if (!$this->component instanceof \Ratchet\WebSocket\MessageComponentInterface) {
            return $data;
        }
        $frame = new \Ratchet\RFC6455\Messaging\Frame($data, true, $binary ? Opcode::BINARY : Opcode::TEXT);
        if (!\class_exists(\Ratchet\RFC6455\Messaging\Message::class)) {
            return $frame;
        }
        $message = new \Ratchet\RFC6455\Messaging\Message();
        $message->addFrame($frame);
        return $message;
    }
}
