<?php
declare(strict_types=1);

require __DIR__ . '/Certificates.php';
require __DIR__ . '/Client.php';
require __DIR__ . '/Script.php';
require __DIR__ . '/ServerTestCase.php';

if (!extension_loaded('wsengine')) {
    fwrite(STDERR, "The extension wsengine is not loaded; run tests/run.sh.\n");
    exit(1);
}
