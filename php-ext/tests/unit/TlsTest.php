<?php
declare(strict_types=1);

namespace WsEngine\Tests;

use WsEngine\ConfigException;
use WsEngine\Event;

/** wss: certificates are made at run time, and the clients verify them. */
final class TlsTest extends ServerTestCase
{
    private Certificates $files;

    protected function setUp(): void
    {
        $this->files = new Certificates();
    }

    protected function tearDown(): void
    {
        parent::tearDown();
        unset($this->files);
    }

    /** @return array<string, mixed> for a client that trusts the server */
    private function startTls(): array
    {
        $trusting = $this->files->make();
        $this->start($this->files->options('tls://127.0.0.1:0'));
        return $trusting;
    }

    public function testMessagesGoBothWays(): void
    {
        $trusting = $this->startTls();
        self::assertMatchesRegularExpression('#^tls://127\.0\.0\.1:\d+$#', $this->address);
        $client = new Client($this->address, tls: $trusting);
        self::assertSame(101, $client->status);
        $open = $this->next(Event::OPEN);
        self::assertTrue($open->request->tls);
        self::assertMatchesRegularExpression('/^127\.0\.0\.1:\d+$/', $open->request->peer);

        foreach (['short', str_repeat('long ', 40_000)] as $text) {
            $client->send($text);
            self::assertSame($text, $this->next(Event::MESSAGE)->data);
            self::assertTrue(ws_send($open->conn, $text));
            self::assertSame($text, $client->expect());
        }
        $client->close();
        self::assertSame([1000, true], [($close = $this->next(Event::CLOSE))->code, $close->clean]);
    }

    public function testWhoDoesNotTrustTheCertificateStaysOut(): void
    {
        $trusting = $this->startTls();
        $others = new Certificates();
        self::assertFalse($this->isTrustedBy($others->make()));
        self::assertNull(ws_poll_event(0));
        self::assertTrue($this->isTrustedBy($trusting), 'the others still get in');
    }

    public function testPlainAndTlsStandSideBySide(): void
    {
        $trusting = $this->files->make();
        $info = ws_server_start($this->files->options('127.0.0.1:0', 'tls://127.0.0.1:0'));
        $this->address = $info->address;
        [$plain, $tls] = $info->addresses;
        self::assertSame("127.0.0.1:$info->port", $plain);
        self::assertStringStartsWith('tls://127.0.0.1:', $tls);

        $clients = [new Client($plain), new Client($tls, tls: $trusting)];
        self::assertSame(
            [false, true],
            [$this->next(Event::OPEN)->request->tls, $this->next(Event::OPEN)->request->tls],
        );
        self::assertSame([101, 101], array_column($clients, 'status'));
    }

    public function testAReloadIsForNewConnectionsAndOldOnesLiveOn(): void
    {
        $before = $this->startTls();
        $old = new Client($this->address, tls: $before);
        $conn = $this->next(Event::OPEN)->conn;
        $after = $this->files->make();
        self::assertTrue($this->isTrustedBy($before), 'nobody has read the new one yet');

        ws_tls_reload();
        self::assertTrue($this->isTrustedBy($after));
        self::assertFalse($this->isTrustedBy($before));
        self::assertTrue(ws_send($conn, 'still here?'));
        self::assertSame('still here?', $old->expect());
    }

    public function testASignalMayReload(): void
    {
        $this->startTls();
        $after = $this->files->make();
        $handler = pcntl_signal_get_handler(SIGHUP);
        $async = pcntl_async_signals(true);
        try {
            pcntl_signal(SIGHUP, fn () => ws_tls_reload());
            posix_kill(getmypid(), SIGHUP);
        } finally {
            pcntl_signal(SIGHUP, $handler);
            pcntl_async_signals($async);
        }
        self::assertTrue($this->isTrustedBy($after));
    }

    /** @dataProvider spoiled */
    public function testAReloadThatFailsChangesNothing(callable $spoil, string $error): void
    {
        $trusting = $this->startTls();
        $spoil($this->files);
        try {
            ws_tls_reload();
            self::fail('such files cannot be read');
        } catch (ConfigException $e) {
            $names = [$this->files->cert => 'CERT', $this->files->key => 'KEY'];
            self::assertSame($error, strtr($e->getMessage(), $names));
        }
        self::assertTrue($this->isTrustedBy($trusting));
    }

    public static function spoiled(): array
    {
        $cert = fn (string $text) => fn (Certificates $files) => file_put_contents($files->cert, $text);
        $key = fn (string $text) => fn (Certificates $files) => file_put_contents($files->key, $text);
        return [
            'no certificate' => [
                fn (Certificates $files) => unlink($files->cert),
                'option "tls_cert": "CERT" cannot be read: No such file or directory (os error 2)',
            ],
            'another text' => [$cert('soon'), 'option "tls_cert": "CERT" holds no certificate in PEM form'],
            'half a certificate' => [
                function (Certificates $files) {
                    file_put_contents($files->cert, substr(file_get_contents($files->cert), 0, 200));
                },
                'option "tls_cert": "CERT" is not sound PEM: its END line is missing',
            ],
            'no key' => [
                fn (Certificates $files) => unlink($files->key),
                'option "tls_key": "KEY" cannot be read: No such file or directory (os error 2)',
            ],
            'an empty key' => [
                $key(''),
                'option "tls_key": "KEY" holds no private key in PEM form; one with a passphrase cannot be used',
            ],
            'a key with a passphrase' => [
                fn (Certificates $files) => $files->make('secret'),
                'option "tls_key": "KEY" holds no private key in PEM form; one with a passphrase cannot be used',
            ],
            "another certificate's key" => [
                function (Certificates $files) {
                    ($others = new Certificates())->make();
                    copy($others->key, $files->key);
                },
                'options "tls_cert" and "tls_key": the key in "KEY" does not belong to the certificate in "CERT"',
            ],
        ];
    }

    /** @dataProvider incomplete */
    public function testWhatTlsNeedsIsSaid(array $given, string $error): void
    {
        $this->files->make();
        $this->expectExceptionObject(new ConfigException($error));
        $options = $this->files->options('tls://127.0.0.1:0');
        ws_server_start(array_intersect_key($options, array_flip($given)));
    }

    public static function incomplete(): array
    {
        return [
            [['listen'], 'option "listen": tls://127.0.0.1:0 needs the options "tls_cert" and "tls_key"'],
            [['listen', 'tls_cert'], 'option "tls_cert" is set and "tls_key" is not; TLS needs both'],
            [['listen', 'tls_key'], 'option "tls_key" is set and "tls_cert" is not; TLS needs both'],
        ];
    }

    public function testAServerWithoutTlsHasNothingToReload(): void
    {
        $this->start();
        $this->expectExceptionObject(
            new ConfigException('there is no TLS to reload: "tls_cert" and "tls_key" are not set'),
        );
        ws_tls_reload();
    }

    /** Does a client that trusts only this get a connection? */
    private function isTrustedBy(array $trusting): bool
    {
        try {
            $client = new Client($this->address, tls: $trusting);
        } catch (\RuntimeException) {
            return false;
        }
        $this->next(Event::OPEN);
        $client->cut();
        $this->next(Event::CLOSE);
        return true;
    }
}
