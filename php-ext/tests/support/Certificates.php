<?php
declare(strict_types=1);

namespace WsEngine\Tests;

/** The files of the options tls_cert and tls_key, in a directory that goes with this. */
final class Certificates
{
    public readonly string $cert;
    public readonly string $key;
    private readonly string $directory;
    private int $made = 0;

    public function __construct()
    {
        $this->directory = sys_get_temp_dir() . '/wsengine-tls-' . getmypid() . '-' . bin2hex(random_bytes(4));
        mkdir($this->directory, 0700);
        $this->cert = "$this->directory/cert.pem";
        $this->key = "$this->directory/key.pem";
    }

    public function __destruct()
    {
        array_map('unlink', glob("$this->directory/*"));
        rmdir($this->directory);
    }

    /**
     * Writes a new certificate for 127.0.0.1 that signs itself, and its key.
     *
     * @return array<string, mixed> for a client that trusts this certificate and no other
     */
    public function make(?string $passphrase = null): array
    {
        $number = ++$this->made;
        $config = "$this->directory/openssl.cnf";
        file_put_contents($config, "[req]\ndistinguished_name = req\n[usual]\nsubjectAltName = IP:127.0.0.1\n");
        $options = ['config' => $config, 'digest_alg' => 'sha256', 'x509_extensions' => 'usual'];
        // PHP wants a number of bits for a curve too.
        $kind = ['private_key_type' => OPENSSL_KEYTYPE_EC, 'curve_name' => 'prime256v1', 'private_key_bits' => 2048];
        $key = openssl_pkey_new($kind + $options);
        $request = openssl_csr_new(['commonName' => "test $number"], $key, $options);
        $certificate = openssl_csr_sign($request, null, $key, 1, $options, $number);
        openssl_x509_export_to_file($certificate, $this->cert);
        openssl_pkey_export_to_file($key, $this->key, $passphrase, $options);
        copy($this->cert, "$this->directory/trusted-$number.pem");
        return ['cafile' => "$this->directory/trusted-$number.pem"];
    }

    /** @return array<string, mixed> for ws_server_start() */
    public function options(string ...$listen): array
    {
        return ['listen' => $listen, 'tls_cert' => $this->cert, 'tls_key' => $this->key];
    }
}
