<?php
// Who may come in: each user has a token, and a client shows it with its handshake.

declare(strict_types=1);

use WsEngine\Event;
use WsEngine\Request;

final class Door
{
    /** New in each run, so the links of an earlier one open nothing. */
    private readonly string $secret;

    /** @param list<string> $users a real one would ask its database, and whoever logs in for a password */
    public function __construct(private readonly array $users)
    {
        $this->secret = random_bytes(32);
    }

    /** The name and a signature that nobody can make without the secret. */
    public function tokenOf(string $name): string
    {
        return $name . '.' . hash_hmac('sha256', $name, $this->secret);
    }

    /** Answers a handshake, and says how. An open event follows for whoever is let in. */
    public function decide(Event $event): string
    {
        $user = $this->userOf($event->request);
        if ($user !== null) {
            return ws_accept($event->conn) ? "$user comes in" : "$user came too late";
        }
        if ($this->tokenIn($event->request) === null) {
            ws_reject($event->conn, 401, "Who are you? Show a token.\n", ['WWW-Authenticate' => 'Bearer realm="chat"']);
            return 'refused, it has no token';
        }
        ws_reject($event->conn, 403, "This token opens nothing here.\n");
        return 'refused, its token is wrong';
    }

    /** The user whose token the request shows; null without a token and for a wrong one. */
    public function userOf(Request $request): ?string
    {
        $token = $this->tokenIn($request) ?? '';
        foreach ($this->users as $name) {
            // Unlike ===, it takes as long for a token that is nearly right, and so tells a guesser nothing.
            if (hash_equals($this->tokenOf($name), $token)) {
                return $name;
            }
        }
        return null;
    }

    /** A browser has a cookie. A program has the header, or the query where it can set no headers. */
    private function tokenIn(Request $request): ?string
    {
        if (isset($request->cookies['token'])) {
            return $request->cookies['token'];
        }
        if (preg_match('/^Bearer +(\S+)$/iD', $request->headers['authorization'] ?? '', $found)) {
            return $found[1];
        }
        parse_str($request->query, $query);
        return is_string($query['token'] ?? null) ? $query['token'] : null;
    }
}
