<?php
declare(strict_types=1);

namespace WsEngine\Compat;

/** Gives the adapters the names that old scripts know. */
final class Names
{
    /**
     * @param string $adapter for the error
     * @param array<string, class-string> $names what scripts say => what it is here
     * @throws \LogicException if something else has the name
     */
    public static function declare(string $adapter, array $names): void
    {
        foreach ($names as $name => $class) {
            if (!\class_exists($name, false) && !\interface_exists($name, false)) {
                \class_alias($class, $name);
                continue;
            }
            $other = new \ReflectionClass($name);
            if ($other->getName() !== $class) {
                $where = $other->getFileName() === false ? 'PHP itself' : $other->getFileName();
                throw new \LogicException("$adapter declares $name, but $where has declared it before. If that file is "
                    . "the old server, take it out; $adapter is in its place");
            }
        }
    }
}
