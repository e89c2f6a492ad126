<?php
declare(strict_types=1);

namespace WsEngine\Tests;

use WsEngine\BindException;
use WsEngine\Event;

/** Listening on a unix socket, as behind a proxy on the same machine. */
final class UnixSocketTest extends ServerTestCase
{
    private const IN_USE = 'the address is in use, by another server or by a file that is no socket; stop that server '
        . 'or choose another path';

    private string $path;

    protected function setUp(): void
    {
        $this->path = sys_get_temp_dir() . '/wsengine-' . getmypid() . '-' . bin2hex(random_bytes(4)) . '.sock';
    }

    protected function tearDown(): void
    {
        parent::tearDown();
        @unlink($this->path);
    }

    public function testMessagesGoBothWays(): void
    {
        $info = ws_server_start("unix:$this->path");
        $this->address = $info->address;
        self::assertSame(["unix:$this->path", 0], [$info->address, $info->port]);
        $client = new Client($this->address);
        self::assertSame(101, $client->status);
        $open = $this->next(Event::OPEN);
        self::assertSame(['unix:', false], [$open->request->peer, $open->request->tls]);
        $client->send('by file');
        self::assertSame('by file', $this->next(Event::MESSAGE)->data);
        self::assertTrue(ws_send($open->conn, 'and back'));
        self::assertSame('and back', $client->expect());
    }

    public function testItStandsBesideOtherAddresses(): void
    {
        $info = ws_server_start(['listen' => ["unix:$this->path", '127.0.0.1:0']]);
        $this->address = $info->address;
        self::assertSame(["unix:$this->path", "127.0.0.1:$info->port"], $info->addresses);
        foreach ($info->addresses as $address) {
            self::assertSame(101, (new Client($address))->status);
        }
    }

    /** @dataProvider modes */
    public function testItHasTheModeThatWasAskedFor(string $parameters, int $mode): void
    {
        $this->start(['listen' => "unix:$this->path$parameters"]);
        self::assertSame('socket', filetype($this->path));
        self::assertSame(decoct($mode), decoct(fileperms($this->path) & 0777));
    }

    public static function modes(): array
    {
        $owner = posix_geteuid();
        return [['', 0660], ['?mode=0600', 0600], ['?mode=666', 0666], ["?owner=$owner&mode=0640", 0640]];
    }

    public function testItsNameGoesWithTheServer(): void
    {
        $script = new Script("echo ws_server_start('unix:$this->path')->address, \"\\n\";");
        self::assertSame("unix:$this->path", $script->line());
        self::assertSame(0, $script->end()['exit']);
        self::assertFileDoesNotExist($this->path);
    }

    public function testTheNameThatAKilledServerLeftIsTaken(): void
    {
        $script = new Script("echo ws_server_start('unix:$this->path')->address, \"\\n\"; ws_poll_event();");
        $script->line();
        $script->signal(SIGKILL);
        $script->end();
        self::assertFileExists($this->path);
        $this->start(['listen' => "unix:$this->path"]);
        self::assertSame(101, (new Client("unix:$this->path"))->status);
    }

    public function testTheNameOfAServerThatRunsIsNot(): void
    {
        $script = new Script("echo ws_server_start('unix:$this->path')->address, \"\\n\"; ws_poll_event();");
        $script->line();
        $this->assertRefused($this->path, 98, self::IN_USE);
        self::assertSame(101, (new Client("unix:$this->path"))->status, 'the one that runs is not disturbed');
    }

    public function testAFileThatIsNoSocketStays(): void
    {
        file_put_contents($this->path, 'precious');
        $this->assertRefused($this->path, 98, self::IN_USE);
        self::assertSame('precious', file_get_contents($this->path));
    }

    public function testPlacesThatCannotBeHadAreNamed(): void
    {
        $this->assertRefused("$this->path/in/it", 2, 'No such file or directory (os error 2)');
        $this->assertRefused("$this->path?owner=nobody.at.all", 0, 'there is no user "nobody.at.all"');
        $this->assertRefused("$this->path?group=nobody.at.all", 0, 'there is no group "nobody.at.all"');
    }

    private function assertRefused(string $place, int $code, string $why): void
    {
        $path = explode('?', $place)[0];
        try {
            ws_server_start("unix:$place");
            self::fail("$place can be listened on");
        } catch (BindException $e) {
            self::assertSame("cannot listen on unix:$path (option \"listen\"): $why", $e->getMessage());
            self::assertSame($code, $e->getCode());
        }
    }
}
