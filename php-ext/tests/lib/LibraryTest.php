<?php
declare(strict_types=1);

namespace WsEngine\Tests\Lib;

use PHPUnit\Framework\TestCase;

/** How the classes are loaded, what they show, what they need. */
final class LibraryTest extends TestCase
{
    private const LIB = __DIR__ . '/../../lib';
    private const EXTENSION = ['Event', 'Request', 'ServerInfo', 'Exception', 'BindException', 'ConfigException', 'ForkException'];

    /** @return list<string> what a PHP without any settings but these writes */
    private static function php(string $code, string ...$options): array
    {
        $command = implode(' ', array_map('escapeshellarg', [PHP_BINARY, '-n', ...$options, '-r', $code]));
        exec("$command 2>&1", $lines);
        return $lines;
    }

    private static function extension(): string
    {
        foreach (explode(':', (string) getenv('PHP_INI_SCAN_DIR')) as $directory) {
            $settings = @parse_ini_file("$directory/wsengine.ini");
            if ($settings !== false) {
                return $settings['extension'];
            }
        }
        self::fail('tests/run.sh makes a wsengine.ini');
    }

    /** @return list<string> of the classes that are not of adapters for old scripts */
    private static function files(): array
    {
        return array_values(array_filter(glob(self::LIB . '/*.php'), fn ($file) => basename($file) !== 'autoload.php'));
    }

    /** @return array<string, list<string>> by data set */
    public static function classes(): array
    {
        $names = array_map(fn ($file) => basename($file, '.php'), self::files());
        return array_combine($names, array_map(fn ($name) => ["WsEngine\\$name"], $names));
    }

    public function testTheAutoloaderAloneIsEnough(): void
    {
        $code = 'require ' . var_export(self::LIB . '/autoload.php', true) . ';'
            . 'require ' . var_export(self::LIB . '/autoload.php', true) . ';'
            . '$server = WsEngine\Server::listen("127.0.0.1:0"); $server->after(0, fn () => $server->stop(0));'
            . '$server->on("stop", fn () => print("stopped\n"))->run();'
            . 'var_dump(class_exists("WsEngine\Nothing"), class_exists("WsEngineering\Server"));';
        self::assertSame(
            ['stopped', 'bool(false)', 'bool(false)'],
            self::php($code, '-d', 'extension=' . self::extension()),
        );
    }

    public function testWithoutTheExtensionItSaysWhatIsMissing(): void
    {
        $code = 'require ' . var_export(self::LIB . '/autoload.php', true) . ';'
            . 'try { WsEngine\Server::listen(); } catch (LogicException $e) { echo $e->getMessage(); }';
        self::assertSame(
            ['the extension wsengine is not loaded; add -d extension=wsengine.so, or a line extension=wsengine to php.ini'],
            self::php($code),
        );
    }

    public function testEveryFileIsSound(): void
    {
        $files = new \RecursiveIteratorIterator(new \RecursiveDirectoryIterator(self::LIB, \FilesystemIterator::SKIP_DOTS));
        foreach ($files as $file) {
            exec(escapeshellarg(PHP_BINARY) . ' -n -l ' . escapeshellarg((string) $file) . ' 2>&1', $lines, $status);
            self::assertSame(0, $status, implode("\n", $lines));
        }
        self::assertGreaterThan(count(self::files()), iterator_count($files));
    }

    /** @dataProvider classes */
    public function testItIsFinalAndTypedThroughout(string $name): void
    {
        $class = new \ReflectionClass($name);
        self::assertTrue($class->isFinal());
        foreach ($class->getProperties() as $property) {
            // A resource has no type.
            $typed = $property->hasType() || str_contains((string) $property->getDocComment(), '@var resource');
            self::assertTrue($typed, "$name::\$$property->name");
        }
        foreach ($class->getMethods() as $method) {
            $typed = $method->hasReturnType() || str_starts_with($method->name, '__')
                || str_contains((string) $method->getDocComment(), '@return resource');
            self::assertTrue($typed, "$name::$method->name()");
            foreach ($method->getParameters() as $parameter) {
                self::assertTrue($parameter->hasType(), "$name::$method->name(): \$$parameter->name");
            }
        }
        self::assertStringContainsString("\ndeclare(strict_types=1);\n", file_get_contents($class->getFileName()));
    }

    /** @dataProvider classes */
    public function testItNeedsNothingButPhpTheExtensionAndPerhapsPsrLog(string $name): void
    {
        $file = (new \ReflectionClass($name))->getFileName();
        foreach (\PhpToken::tokenize(file_get_contents($file)) as $token) {
            if ($token->is([T_NAME_QUALIFIED, T_NAME_FULLY_QUALIFIED]) && $token->text !== 'WsEngine') {
                $known = $token->text === 'Psr\Log\LoggerInterface' || function_exists($token->text) || defined($token->text)
                    || class_exists($token->text) && (new \ReflectionClass($token->text))->isInternal();
                self::assertTrue($known, "$token->text in line $token->line");
            }
            if ($token->is([T_REQUIRE, T_REQUIRE_ONCE, T_INCLUDE, T_INCLUDE_ONCE])) {
                self::fail("$token->text in line $token->line");
            }
        }
        self::assertNotContains(basename($file, '.php'), self::EXTENSION, 'the extension has a class of this name');
    }
}
