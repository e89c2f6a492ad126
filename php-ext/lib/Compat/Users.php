<?php
declare(strict_types=1);

namespace WsEngine\Compat;

use WsEngine\Connection;
use WsEngine\Server;

/**
 * For classes with the properties $users and $sockets. Scripts may put users there by themselves, and do, so these two
 * say who is in; each user has its socket in a property "socket".
 */
trait Users
{
    private Server $engine;

    /** Gives a new connection its socket. */
    private function socketFor(Connection $connection): Socket
    {
        return $connection->attributes['socket'] ??= Socket::from($connection->id, $connection->request);
    }

    /** Puts a user in. Scripts that put in their own do it by hand, and userOf() looks for them. */
    private function takeIn(object $user, int|string|null $key = null): void
    {
        $connection = $this->engine->connection($user->socket->id);
        if ($connection !== null) {
            $connection->attributes['user'] = $user;
        }
        if ($key === null) {
            $this->users[] = $user;
            $this->sockets[] = $user->socket;
        } else {
            $this->users[$key] = $user;
            $this->sockets[$key] = $user->socket;
        }
    }

    /** The user of a connection. Null: the script has put it out. */
    private function userAt(Connection $connection): ?object
    {
        return $this->userOf($connection->attributes['socket'] ?? null);
    }

    /** The user of a socket. Null: there is none, or no longer. */
    private function userOf(mixed $meant): ?object
    {
        $socket = Socket::of($meant);
        if ($socket === null) {
            return null;
        }
        $connection = $this->engine->connection($socket->id);
        if (isset($connection?->attributes['user'])) {
            return $connection->attributes['user'];
        }
        foreach ($this->users as $user) {
            if (Socket::of($user) === $socket) {
                if ($connection !== null) {
                    $connection->attributes['user'] = $user;
                }
                return $user;
            }
        }
        return null;
    }

    /** Takes the user of a socket out, and gives who it was. Null: it was out. */
    private function takeOut(mixed $meant): ?object
    {
        $user = $this->userOf($meant);
        if ($user === null) {
            return null;
        }
        $connection = $this->engine->connection($user->socket->id);
        if ($connection !== null) {
            unset($connection->attributes['user']);
        }
        self::remove($user, $this->users);
        self::remove($user->socket, $this->sockets);
        return $user;
    }

    /** @param array<object> $from */
    private static function remove(object $what, array &$from): void
    {
        $key = \array_search($what, $from, true);
        if ($key !== false && \array_is_list($from)) {
            \array_splice($from, $key, 1);
        } elseif ($key !== false) {
            unset($from[$key]);
        }
    }
}
