<?php
declare(strict_types=1);

require __DIR__ . '/Certificates.php';
require __DIR__ . '/Client.php';
require __DIR__ . '/Script.php';
require __DIR__ . '/ServerTestCase.php';
require __DIR__ . '/LibTestCase.php';
require __DIR__ . '/../../lib/autoload.php';

if (!extension_loaded('wsengine')) {
    fwrite(STDERR, "The extension wsengine is not loaded; run tests/run.sh.\n");
    exit(1);
}
