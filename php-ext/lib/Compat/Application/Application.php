<?php
declare(strict_types=1);

namespace WsEngine\Compat\Application;

/** What applications begin with: one of each class, and messages of the form {"action": …, "data": …}. */
#[\AllowDynamicProperties]
abstract class Application implements ApplicationInterface
{
    /** @var array<class-string, self> */
    protected static $instances = [];

    protected function __construct()
    {
    }

    protected function __clone()
    {
    }

    final public static function getInstance(): ApplicationInterface
    {
        return self::$instances[static::class] ??= new static();
    }

    public function onConnect(Connection $connection)
    {
    }

    public function onDisconnect(Connection $connection)
    {
    }

    public function onData(string $data, Connection $client)
    {
    }

    /** @return array<string, mixed>|false */
    protected function decodeData($data)
    {
        $decoded = \json_decode((string) $data, true);
        return isset($decoded['action'], $decoded['data']) ? $decoded : false;
    }

    /** @return string|false */
    protected function encodeData($action, $data)
    {
        return empty($action) ? false : \json_encode(['action' => $action, 'data' => $data]);
    }

    /** The name of decodeData() before 2018. */
    protected function _decodeData($data)
    {
        return $this->decodeData($data);
    }

    /** The name of encodeData() before 2018. */
    protected function _encodeData($action, $data)
    {
        return $this->encodeData($action, $data);
    }
}
