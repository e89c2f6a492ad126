<?php
declare(strict_types=1);

namespace WsEngine\Tests;

use PHPUnit\Framework\TestCase;

/** wsengine.stub.php is what the extension and its reference say. With WRITE_STUB=1 this writes it instead. */
final class StubTest extends TestCase
{
    private const STUB = __DIR__ . '/../../wsengine.stub.php';

    public function testTheStubIsGenerated(): void
    {
        $generated = self::php(__DIR__ . '/../../../scripts/php-stub.php');
        if (getenv('WRITE_STUB') !== false) {
            file_put_contents(self::STUB, $generated);
        }
        self::assertStringEqualsFile(
            self::STUB,
            $generated,
            'To generate it again: WRITE_STUB=1 php-ext/tests/run.sh --filter StubTest',
        );
        self::assertStringStartsWith('No syntax errors', self::php('-n', '-l', self::STUB));
    }

    /** What PHP prints with these arguments; it must not complain. */
    private static function php(string ...$arguments): string
    {
        $streams = [1 => ['pipe', 'w'], 2 => ['redirect', 1]];
        $process = proc_open([PHP_BINARY, '-d', 'display_errors=1', ...$arguments], $streams, $pipes);
        $output = stream_get_contents($pipes[1]);
        self::assertSame(0, proc_close($process), $output);
        return $output;
    }
}
