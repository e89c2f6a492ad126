<?php
declare(strict_types=1);

namespace WsEngine\Tests\Lib;

use WsEngine\Connection;
use WsEngine\Handshake;
use WsEngine\Tests\Client;
use WsEngine\Tests\LibTestCase;

/** Who comes in. */
final class HandshakeTest extends LibTestCase
{
    /** @var \ArrayObject<int, mixed> */
    private \ArrayObject $said;

    protected function setUp(): void
    {
        $this->said = new \ArrayObject();
        $this->listen(['handshake_events' => true]);
    }

    private function ask(array $headers = []): Client
    {
        return new Client($this->address, '/', $headers, wait: false);
    }

    /** Serves until the server has answered, then gives the status. */
    private function answer(Client $client): int
    {
        $this->serve(fn () => $this->server->stats()['handshakes'] === 0 && $this->server->stats()['opened'] > 0
            || $this->server->stats()['refused'] > 0);
        return $client->answer();
    }

    public function testWithoutAHandlerEverybodyComesIn(): void
    {
        self::assertSame(101, $this->answer($this->ask()));
    }

    public function testWhatTheHandlerKnowsIsThereAtTheOpen(): void
    {
        $this->server->on('handshake', function (Handshake $handshake): void {
            $handshake->attributes['user'] = $handshake->request->cookies['user'];
            $handshake->accept('chat', ['X-Served-By' => 'test']);
            $handshake->attributes['late'] = true;
        });
        $this->server->on('open', fn (Connection $c) => $this->said[] = $c->attributes);
        $client = $this->ask(['Cookie' => 'user=ada', 'Sec-WebSocket-Protocol' => 'news, chat']);
        self::assertSame(101, $this->answer($client));
        self::assertSame('chat', $client->headers['sec-websocket-protocol']);
        self::assertSame('test', $client->headers['x-served-by']);
        $this->serve(fn () => count($this->said) === 1);
        self::assertSame(['user' => 'ada', 'late' => true], $this->said[0]);
    }

    public function testARejectionSaysWhatItIsTold(): void
    {
        $this->server->on('handshake', fn (Handshake $h) => $h->reject(401, 'log in', ['WWW-Authenticate' => 'Bearer']));
        $this->server->on('open', fn () => self::fail('it is in'));
        $client = $this->ask();
        self::assertSame(401, $this->answer($client));
        self::assertSame('Bearer', $client->headers['www-authenticate']);
        self::assertSame('log in', $client->body());
    }

    public function testTheFirstDecisionCounts(): void
    {
        $this->server->on('handshake', fn (Handshake $h) => $this->said[] = $h->reject(403));
        $this->server->on('handshake', fn (Handshake $h) => $this->said[] = $h->accept());
        self::assertSame(403, $this->answer($this->ask()));
        self::assertSame([true, false], $this->said->getArrayCopy());
    }

    public function testItMayBeDecidedOnLater(): void
    {
        $this->server->on('handshake', function (Handshake $handshake): void {
            $handshake->attributes['since'] = 'the handshake';
            $this->server->after(0.01, fn () => $handshake->accept());
        });
        $this->server->on('open', fn (Connection $c) => $this->said[] = $c->attributes);
        self::assertSame(101, $this->answer($this->ask()));
        $this->serve(fn () => count($this->said) === 1);
        self::assertSame(['since' => 'the handshake'], $this->said[0]);
    }

    public function testNobodyComesInByAMistake(): void
    {
        $this->server->on('handshake', fn () => throw new \RuntimeException('first'));
        $this->server->on('handshake', fn () => throw new \RuntimeException('second'));
        $this->server->on('handshake', fn (Handshake $h) => $this->said[] = $h->accept());
        $this->server->on('error', fn (\Throwable $e, ?Connection $c) => $this->said[] = [$e->getMessage(), $c]);
        self::assertSame(500, $this->answer($this->ask()));
        self::assertSame([['first', null], ['second', null], false], $this->said->getArrayCopy());
    }

    public function testWhoWasLetInBeforeTheMistakeIsIn(): void
    {
        $this->server->on('handshake', function (Handshake $handshake): void {
            $handshake->accept();
            throw new \RuntimeException('too late');
        });
        $this->server->on('error', fn (\Throwable $e) => $this->said[] = $e->getMessage());
        self::assertSame(101, $this->answer($this->ask()));
        self::assertSame(['too late'], $this->said->getArrayCopy());
    }

    public function testWhoWasTurnedAwayIsNotRemembered(): void
    {
        $this->server->on('handshake', function (Handshake $handshake): void {
            $this->said[] = \WeakReference::create($handshake);
            $handshake->reject();
        });
        self::assertSame(403, $this->answer($this->ask()));
        self::assertNull($this->said[0]->get());
    }

    public function testWhoCameInIsRememberedAsAConnectionOnly(): void
    {
        $this->server->on('handshake', function (Handshake $handshake): void {
            $this->said[] = \WeakReference::create($handshake);
            $handshake->accept();
        });
        self::assertSame(101, $this->answer($this->ask()));
        $this->serve(fn () => count($this->server->connections()) === 1);
        self::assertNull($this->said[0]->get());
    }
}
