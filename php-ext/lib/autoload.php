<?php
declare(strict_types=1);

// Loads the classes of WsEngine\ when they are first used. Composer does the same by composer.json.

spl_autoload_register(static function (string $class): void {
    if (str_starts_with($class, 'WsEngine\\')) {
        $file = __DIR__ . '/' . strtr(substr($class, strlen('WsEngine\\')), '\\', '/') . '.php';
        // The extension has classes of its own in this namespace.
        if (is_file($file)) {
            require $file;
        }
    }
});
