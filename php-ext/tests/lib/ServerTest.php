<?php
declare(strict_types=1);

namespace WsEngine\Tests\Lib;

use WsEngine\Connection;
use WsEngine\Server;
use WsEngine\Tests\Client;
use WsEngine\Tests\LibTestCase;

/** The server itself: start, who is connected, stop, one after the other. */
final class ServerTest extends LibTestCase
{
    public function testItListensWhereItSays(): void
    {
        $server = $this->listen(['listen' => ['127.0.0.1:0', '127.0.0.1:0']]);
        self::assertCount(2, $server->info->addresses);
        foreach ($server->info->addresses as $address) {
            self::assertSame(101, (new Client($address))->status);
        }
    }

    public function testAStringIsWhereToListen(): void
    {
        $this->server = Server::listen('127.0.0.1:0');
        self::assertStringStartsWith('127.0.0.1:', $this->server->info->address);
    }

    public function testMistakesInOptionsAreThoseOfTheFunction(): void
    {
        $this->expectException(\WsEngine\ConfigException::class);
        $this->expectExceptionMessage('listen');
        Server::listen(['lisen' => '127.0.0.1:0']);
    }

    public function testASecondOneIsRefusedAndTheFirstGoesOn(): void
    {
        $server = $this->listen()->on('message', fn (Connection $c, string $data) => $c->send($data));
        try {
            Server::listen('127.0.0.1:0');
            self::fail('two servers');
        } catch (\WsEngine\Exception $e) {
            self::assertStringContainsString('is running in this process already', $e->getMessage());
        }
        $client = $this->connect();
        $client->send('still there?');
        $this->serve(fn () => $server->stats()['messages_out'] === 1);
        self::assertSame('still there?', $client->expect());
    }

    public function testTheNextOneWaitsUntilTheFirstHasToldItsHandlersOfTheEnd(): void
    {
        $said = new \ArrayObject();
        $first = $this->listen()
            ->on('close', function () use ($said) { $said[] = 'close'; })
            ->on('stop', function () use ($said) { $said[] = 'stop'; });
        $this->connect();
        $first->stop(0);
        $second = $this->listen();
        self::assertSame(['close', 'stop'], $said->getArrayCopy());
        self::assertTrue($first->isStopped());
        self::assertFalse($second->isStopped());
    }

    public function testAServerThatIsOverTakesNothingFromTheNext(): void
    {
        $first = $this->listen()->on('open', fn () => self::fail('an event of the second'));
        $this->serve(fn () => true);
        ws_server_stop(0);
        $this->listen();
        $client = new Client($this->address);
        $first->process();
        $first->run();
        self::assertTrue($first->isStopped());
        self::assertSame([], $this->server->connections());
        $this->serve(fn () => count($this->server->connections()) === 1);
    }

    public function testOneThatNobodyHoldsStillIsTheServerOfThisProcess(): void
    {
        $this->listen();
        unset($this->server);
        try {
            Server::listen('127.0.0.1:0');
            self::fail('two servers');
        } catch (\WsEngine\Exception) {
            self::assertSame(101, (new Client($this->address))->status);
        }
        ws_server_stop(0);
        $this->listen();
        $this->connect();
    }

    public function testItCannotBeCloned(): void
    {
        $server = $this->listen();
        $this->expectException(\Error::class);
        $this->expectExceptionMessage('private');
        clone $server;
    }

    public function testConnectionsAreKnownFromTheirOpenToTheEndOfTheirClose(): void
    {
        $counts = new \ArrayObject();
        $server = $this->listen();
        $server->on('open', function (Connection $c) use ($server, $counts) {
            $counts[] = count($server->connections());
            self::assertSame($c, $server->connection($c->id));
        });
        $server->on('close', function (Connection $c) use ($server, $counts) {
            $counts[] = count($server->connections());
            self::assertSame($c, $server->connections()[$c->id]);
        });
        $client = $this->connect();
        $id = array_key_first($server->connections());
        $client->close();
        $this->serve(fn () => $server->connections() === []);
        self::assertSame([1, 1], $counts->getArrayCopy());
        self::assertNull($server->connection($id));
    }

    public function testBroadcastExceptsConnectionsAndIds(): void
    {
        $server = $this->listen();
        $clients = [$this->connect(), $this->connect(), $this->connect()];
        [$first, $second] = array_values($server->connections());
        self::assertSame(3, $server->broadcast('all'));
        self::assertSame(2, $server->broadcast('bin', true, [$first]));
        self::assertSame(1, $server->broadcast('last', except: (fn () => yield from [$first, $second->id])()));
        self::assertSame([Client::TEXT, 'all'], $clients[1]->receive());
        self::assertSame([Client::BINARY, 'bin'], $clients[1]->receive());
        self::assertSame([Client::TEXT, 'all'], $clients[2]->receive());
        self::assertSame([Client::BINARY, 'bin'], $clients[2]->receive());
        self::assertSame([Client::TEXT, 'last'], $clients[2]->receive());
        self::assertSame([Client::TEXT, 'all'], $clients[0]->receive());
        self::assertNull($clients[0]->receive(0.05));
    }

    public function testTopicsReachThoseWhoSubscribed(): void
    {
        $server = $this->listen();
        $clients = [$this->connect(), $this->connect(), $this->connect()];
        [$first, $second, $third] = array_values($server->connections());
        self::assertTrue($first->subscribe('price:gold'));
        self::assertTrue($second->subscribe('price:gold'));
        self::assertTrue($third->subscribe('price:silver'));
        self::assertSame(2, $server->publish('price:gold', '2000'));
        self::assertSame(1, $server->publish('price:gold', "\xFF", true, [$first]));
        self::assertSame(0, $server->publish('price:gold', 'x', except: [$first, $second->id]));
        self::assertSame(0, $server->publish('price:tin', 'x'));
        self::assertSame([2, 0], [$server->members('price:gold'), $server->members('price:tin')]);
        self::assertTrue($first->unsubscribe('price:gold'));
        self::assertFalse($first->unsubscribe('price:gold'));
        self::assertSame(1, $server->publish('price:gold', '2001'));
        self::assertSame('2000', $clients[0]->expect());
        self::assertNull($clients[0]->receive(0.05));
        self::assertSame('2000', $clients[1]->expect());
        self::assertSame("\xFF", $clients[1]->expect(Client::BINARY));
        self::assertSame('2001', $clients[1]->expect());
        self::assertNull($clients[2]->receive(0.0));
        $clients[1]->close();
        $this->serve(fn () => count($server->connections()) === 2);
        self::assertFalse($second->subscribe('price:gold'));
        self::assertSame(0, $server->publish('price:gold', '2002'));
    }

    public function testTopicsRememberAndShowWhoIsThere(): void
    {
        $server = $this->listen(['history' => 'room:=10/60', 'presence' => 'room:']);
        $client = $this->connect();
        [$connection] = array_values($server->connections());
        $server->publish('room:1', 'missed');
        self::assertTrue($connection->subscribe('room:1', '', 'Ann'));
        self::assertSame(['Ann'], array_values($server->presence('room:1')));
        self::assertStringContainsString('"replay":1', $client->expect());
        self::assertStringEndsWith("\nmissed", $client->expect());
        self::assertStringContainsString('"label":"Ann"', $client->expect());
    }

    public function testAStreamThatWasClosedIsMadeAnew(): void
    {
        $server = $this->listen();
        self::assertSame($server->stream(), $server->stream());
        fclose($server->stream());
        self::assertIsResource($server->stream());
        $this->connect();
    }

    public function testEventsThatWerePolledByHandAreNoted(): void
    {
        $errors = new \ArrayObject();
        $server = $this->listen()
            ->on('error', function (\Throwable $e) use ($errors) { $errors[] = $e->getMessage(); })
            ->on('message', fn () => self::fail('whose?'));
        $client = new Client($this->address);
        self::assertSame('open', ws_poll_event(5.0)->type);
        $client->send('x');
        $this->serve(fn () => count($errors) > 0);
        self::assertMatchesRegularExpression('/^"message" of connection \d+, whose "open" was polled/', $errors[0]);
    }

    public function testWhatWasHandledIsFreedBeforeTheNextIsWaitedFor(): void
    {
        $script = self::script('
            $server->on("message", function ($c, string $data) use ($server) {
                echo strlen($data), "\n", memory_get_peak_usage() >> 20, "\n";
                $data === "end" && $server->stop(0);
            });
            $server->run();', ['-d', 'wsengine.max_message_bytes=16777216']);
        $client = new Client($script->line(), timeout: 20.0);
        $peaks = [];
        for ($i = 0; $i < 3; $i++) {
            $client->send(str_repeat('x', 8 << 20));
            self::assertSame((string) (8 << 20), $script->line());
            $peaks[] = (int) $script->line();
        }
        self::assertLessThan($peaks[0] + 4, $peaks[2], 'two messages were there at once');
        $client->send('end');
        self::assertSame('3', $script->line());
    }
}
