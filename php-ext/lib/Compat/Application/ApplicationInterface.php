<?php
declare(strict_types=1);

namespace WsEngine\Compat\Application;

/** What an application answers to. It may have onBinaryData($data, $client), too, and onTick(). */
interface ApplicationInterface
{
    // The types allow applications with these types, with wider ones and with none.

    public function onConnect(Connection $connection);

    public function onDisconnect(Connection $connection);

    public function onData(string $data, Connection $client);

    public static function getInstance(): ApplicationInterface;
}
