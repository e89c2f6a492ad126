<?php
declare(strict_types=1);

namespace WsEngine\Tests\Lib;

use WsEngine\Connection;
use WsEngine\Tests\LibTestCase;

function function_handler(Connection $connection): void
{
    HandlersTest::$called[] = __FUNCTION__;
}

/** Which handlers are called, with what, and what happens when they throw. */
final class HandlersTest extends LibTestCase
{
    /** @var list<string> */
    public static array $called;

    protected function setUp(): void
    {
        self::$called = [];
    }

    public static function ofTheClass(Connection $connection): void
    {
        self::$called[] = __METHOD__;
    }

    public function ofTheObject(Connection $connection): void
    {
        self::$called[] = __METHOD__;
    }

    private function hidden(Connection $connection): void
    {
        self::$called[] = __METHOD__;
    }

    public function testEveryFormOfACallableIsCalledInTheOrderOfOn(): void
    {
        $invokable = new class {
            public function __invoke(Connection $connection): void
            {
                HandlersTest::$called[] = 'invoked';
            }
        };
        $this->listen()
            ->on('open', [$this, 'ofTheObject'])
            ->on('open', $this->hidden(...))
            ->on('open', [self::class, 'ofTheClass'])
            ->on('open', self::class . '::ofTheClass')
            ->on('open', __NAMESPACE__ . '\function_handler')
            ->on('open', $invokable)
            ->on('open', function () { self::$called[] = 'takes nothing'; })
            ->on('open', fn (Connection ...$all) => self::$called[] = count($all) . ' argument');
        $this->connect();
        self::assertSame([
            self::class . '::ofTheObject',
            self::class . '::hidden',
            self::class . '::ofTheClass',
            self::class . '::ofTheClass',
            __NAMESPACE__ . '\function_handler',
            'invoked',
            'takes nothing',
            '1 argument',
        ], self::$called);
    }

    public function testAnUnknownEventIsAnsweredWithThoseThereAre(): void
    {
        $server = $this->listen();
        $this->expectException(\ValueError::class);
        $this->expectExceptionMessage(
            'there is no event "opened"; there are handshake, open, message, drain, close, error, backplane, stop'
        );
        $server->on('opened', fn () => null);
    }

    public function testEachEventHasItsArguments(): void
    {
        $calls = new \ArrayObject();
        $server = $this->listen();
        foreach (['open', 'message', 'close', 'stop'] as $event) {
            $server->on($event, function (mixed ...$arguments) use ($calls, $event) { $calls[] = [$event, $arguments]; });
        }
        $client = $this->connect('/chat?x=1');
        $connection = current($server->connections());
        self::assertSame('/chat', $connection->request->path);
        $client->send('text');
        $client->send('bytes', $client::BINARY);
        $client->close(3000, 'enough');
        $this->serve(fn () => $server->connections() === []);
        $server->stop(0);
        $server->run();
        self::assertSame([
            ['open', [$connection]],
            ['message', [$connection, 'text', false]],
            ['message', [$connection, 'bytes', true]],
            ['close', [$connection, 3000, 'enough', true]],
            ['stop', []],
        ], $calls->getArrayCopy());
    }

    public function testDrainSaysThatThereIsRoomAgainAndHowManyWereLeftOut(): void
    {
        $drained = new \ArrayObject();
        $server = $this->listen(['send_queue_messages' => 16, 'slow_consumer' => 'drop_newest'])
            ->on('drain', function (Connection $c, int $dropped) use ($drained) { $drained[] = [$c, $dropped]; });
        $client = $this->connect();
        $connection = current($server->connections());
        $message = str_repeat('x', 1 << 20);
        // Nobody empties the queue.
        $this->serve(fn () => $server->broadcast($message) === 1 && $server->stats()['messages_dropped'] > 0);
        self::assertTrue($connection->isOpen());
        $this->serve(function () use ($client, $drained, $server) {
            $client->receive(0.01);
            return array_sum(array_column((array) $drained, 1)) === $server->stats()['messages_dropped'];
        });
        self::assertSame($connection, $drained[0][0]);
        self::assertTrue($connection->send('room again'));
    }

    public function testAHandlerAddedWhileItsEventIsHandledWaitsForTheNext(): void
    {
        $calls = new \ArrayObject();
        $server = $this->listen();
        $server->on('message', function () use ($server, $calls) {
            $calls[] = 'first';
            $server->on('message', function () use ($calls) { $calls[] = 'added'; });
        });
        $client = $this->connect();
        $client->send('1');
        $client->send('2');
        $this->serve(fn () => count($calls) === 3);
        self::assertSame(['first', 'first', 'added'], $calls->getArrayCopy());
    }

    public function testOneThatThrowsStopsNobody(): void
    {
        [$seen, $errors] = [new \ArrayObject(), new \ArrayObject()];
        $server = $this->listen()
            ->on('message', fn (Connection $c, string $data) => intdiv(1, (int) $data))
            ->on('message', function (Connection $c, string $data) use ($seen) { $seen[] = $data; })
            ->on('error', function (\Throwable $e, ?Connection $c) use ($errors) { $errors[] = [$e::class, $c]; });
        $client = $this->connect();
        $client->send('0');
        $client->send('1');
        $this->serve(fn () => count($seen) === 2);
        self::assertSame([[\DivisionByZeroError::class, current($server->connections())]], $errors->getArrayCopy());
        self::assertSame(['0', '1'], $seen->getArrayCopy());
    }

    public function testOfSeveralHandlersOfErrorsEachIsCalledWhateverTheOthersDo(): void
    {
        $script = self::script('
            $server->on("open", fn () => throw new Exception("first"));
            $server->on("error", fn (Throwable $e) => throw new Exception("second"));
            $server->on("error", function (Throwable $e) use ($server) { echo $e->getMessage(), "\n"; $server->stop(0); });
            $server->run();');
        $client = new \WsEngine\Tests\Client($script->line());
        self::assertSame('first', $script->line());
        self::assertSame(0, $script->end()['exit']);
        $errors = $script->errors();
        self::assertStringContainsString('wsengine error: the handler of "error" threw Exception: second in ', $errors);
        self::assertStringNotContainsString('first', $errors);
    }

    public function testWithoutAHandlerOfErrorsTheyGoToStandardError(): void
    {
        $script = self::script('
            $server->on("message", fn (WsEngine\Connection $c, int $data) => null);
            $server->on("close", fn () => $server->stop(0));
            $server->on("stop", fn () => throw new DomainException("at the end"));
            $server->run();');
        $client = new \WsEngine\Tests\Client($script->line());
        $client->send('not a number');
        $client->close();
        self::assertSame(0, $script->end()['exit']);
        $errors = $script->errors();
        self::assertMatchesRegularExpression(
            '/^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] wsengine error: the handler of "message" threw TypeError: .* in .+:\d+$/m',
            $errors,
        );
        self::assertStringContainsString('the handler of "stop" threw DomainException: at the end in ', $errors);
    }

    public function testAScriptWithoutStandardErrorGoesOn(): void
    {
        $script = self::script('
            fclose(STDERR);
            set_error_handler(fn ($level, $text) => throw new ErrorException($text));
            $server->on("message", fn () => throw new Exception("nobody hears"));
            $server->on("close", fn () => $server->stop(0));
            $server->run(); echo "done\n";');
        $client = new \WsEngine\Tests\Client($script->line());
        $client->send('x');
        $client->close();
        self::assertSame('done', $script->line());
    }

    public function testAnErrorOfTheEngineGoesToTheHandlersOfErrors(): void
    {
        $script = self::script('
            $server->on("error", function (Throwable $e, ?WsEngine\Connection $c) use ($server) {
                echo get_class($e), " ", $e->getCode(), " ", json_encode($c), "\n";
                $server->stop(0);
            });
            while ($held[] = @fopen("/dev/null", "r"));
            echo "all descriptors are in use\n";
            $server->run();', [], 'ulimit -n 64;');
        $address = $script->line();
        self::assertSame('all descriptors are in use', $script->line());
        $client = stream_socket_client("tcp://$address");
        self::assertSame('WsEngine\Exception 24 null', $script->line());
        self::assertSame(0, $script->end()['exit']);
    }

    public function testExitInAHandlerEndsTheScriptAsUsual(): void
    {
        $script = self::script('
            register_shutdown_function(fn () => print("shutdown\n"));
            $server->on("error", fn () => print("not an error\n"));
            $server->on("message", function () { echo "exit\n"; exit(3); });
            $server->run(); echo "not reached\n";');
        $client = new \WsEngine\Tests\Client($script->line());
        $client->send('x');
        self::assertSame('exit', $script->line());
        self::assertSame('shutdown', $script->line());
        self::assertSame([1001, ''], $client->closed());
        $client->answerClose(1001);
        self::assertSame(3, $script->end()['exit']);
    }

    public function testAHandlerMayServeTheOthersItself(): void
    {
        $order = new \ArrayObject();
        $server = $this->listen();
        $server->on('message', function (Connection $c, string $data) use ($server, $order) {
            $order[] = "begin $data";
            if ($data === '1') {
                $this->serve(fn () => in_array('end 3', (array) $order, true));
            }
            $order[] = "end $data";
        });
        $client = $this->connect();
        foreach (['1', '2', '3'] as $data) {
            $client->send($data);
        }
        $this->serve(fn () => in_array('end 1', (array) $order, true));
        self::assertSame(['begin 1', 'begin 2', 'end 2', 'begin 3', 'end 3', 'end 1'], $order->getArrayCopy());
    }

    public function testRunInAHandlerServesUntilTheEnd(): void
    {
        $script = self::script('
            $server->on("message", function ($c, string $data) use ($server) {
                echo "$data\n";
                if ($data === "outer") { $server->run(); echo "inner done\n"; } else { $server->stop(0); }
            });
            $server->run(); echo "outer done\n";');
        $client = new \WsEngine\Tests\Client($script->line());
        $client->send('outer');
        self::assertSame('outer', $script->line());
        $client->send('inner');
        self::assertSame(['inner', 'inner done', 'outer done'], [$script->line(), $script->line(), $script->line()]);
        self::assertSame(0, $script->end()['exit']);
    }
}
