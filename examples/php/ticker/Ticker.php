<?php
// Prices that change all the time, each a topic. Every client hears of those that it asked for.

declare(strict_types=1);

use WsEngine\Connection;
use WsEngine\Server;

final class Ticker
{
    /** @var array<string, float> */
    private array $prices = ['gold' => 2650.0, 'silver' => 31.0, 'copper' => 4.1, 'tin' => 13.2];

    public function __construct(private readonly Server $server)
    {
        $server->on('open', $this->welcome(...));
        $server->on('message', $this->pick(...));
        foreach (array_keys($this->prices) as $number => $name) {
            // At rhythms of their own, so that they are not all told at once.
            $server->every(0.6 + $number / 7, fn () => $this->change($name));
        }
    }

    private function welcome(Connection $client): void
    {
        $client->json(['names' => array_keys($this->prices)]);
    }

    /** A client says {"watch": "gold"} or {"leave": "gold"}. */
    private function pick(Connection $client, string $message): void
    {
        $said = json_decode($message, true);
        $watch = $said['watch'] ?? null;
        $leave = $said['leave'] ?? null;
        if (is_string($watch) && isset($this->prices[$watch])) {
            $client->subscribe("price:$watch");
            $client->json($this->price($watch));
        } elseif (is_string($leave) && isset($this->prices[$leave])) {
            $client->unsubscribe("price:$leave");
        } else {
            $client->close(1008, 'say {"watch": NAME} or {"leave": NAME}');
        }
    }

    private function change(string $name): void
    {
        $this->prices[$name] *= 1 + random_int(-50, 50) / 10_000;
        // To however many there are: it costs the same.
        $this->server->publish("price:$name", json_encode($this->price($name), JSON_THROW_ON_ERROR));
    }

    /** @return array{name: string, price: float} */
    private function price(string $name): array
    {
        return ['name' => $name, 'price' => round($this->prices[$name], 2)];
    }
}
