#!/usr/bin/env bash
# The package of `make deb` as an administrator meets it, in a clean root of this machine's Debian: installed by apt,
# the chat served from it, purged without a trace. Needs root, see root.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/root.sh

MAX_SECONDS=1200
LOG=target/test-deb.log
EXAMPLES=/usr/share/doc/php-wsengine/examples

main() {
    local debs=(target/deb/*.deb)
    [ -f "${debs[0]}" ] || die "there is no package: run make deb"
    temporary_root
    isolate "$MAX_SECONDS" "$root" "${debs[0]}"
}

inside() {
    trap 'exit 130' INT TERM
    root=$1
    make_root "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$LOG"
    mount_root
    mkdir -p "$root/root/wsengine"
    cp "$2" "$root/tmp/wsengine.deb"

    say "apt-get install"
    apt install /tmp/wsengine.deb
    in_root php -m | grep -qx wsengine || die "PHP does not load it"
    in_root php -r 'require "WsEngine/autoload.php"; exit(class_exists(WsEngine\Server::class) ? 0 : 1);' ||
        die "PHP does not find the classes"
    prove_chat

    say "apt-get purge"
    apt purge php-wsengine
    rm "$root/tmp/wsengine.deb"
    nothing_left
}

apt() {
    in_root env DEBIAN_FRONTEND=noninteractive sh -c 'apt-get update && apt-get "$@"' sh \
        -y --no-install-recommends "$@" >>"$LOG" 2>&1 || { tail -n 40 "$LOG"; die "apt-get $1 failed"; }
}

prove_chat() {
    local job page answer
    set -m # a process group of its own, as in a terminal
    in_root php -q "$EXAMPLES/chat/server.php" 127.0.0.1 0 >"$LOG.chat" 2>&1 </dev/null &
    job=$!
    set +m
    until page=$(grep -om1 '127\.0\.0\.1:[0-9]*' "$LOG.chat"); do
        kill -0 "$job" 2>/dev/null || { cat "$LOG.chat"; die "the chat ended"; }
        sleep 0.1
    done
    cp php-ext/tests/support/Client.php "$root/root/wsengine/"
    # shellcheck disable=SC2016 # PHP's variables
    answer=$(in_root php -r '
        require "/root/wsengine/Client.php";
        $client = new WsEngine\Tests\Client($argv[1]);
        $client->send(json_encode(["type" => "join", "name" => "Ada"]));
        $client->send(json_encode(["type" => "say", "text" => "echo"]));
        do {
            $message = json_decode($client->expect());
        } while ($message->type !== "said");
        echo "$client->status $message->text";
        ' "$page") || die "the chat at $page does not answer"
    [ "$answer" = "101 echo" ] || die "the chat answers: $answer"
    say "the chat at $page lets a client in and sends back what it said"
    kill -INT -- "-$job"
    timeout 5 tail --pid="$job" -f /dev/null || die "the chat does not end by SIGINT"
}

nothing_left() {
    local found
    found=$(in_root sh -c '
        find / -xdev -iname "*wsengine*" -not -path "/proc/*" -not -path "/root/*"
        find /etc/php -xtype l
        grep -rl wsengine /etc /var/lib/php || true')
    [ -z "$found" ] || { echo "$found"; die "the purged package leaves this behind"; }
    say "nothing is left of it"
}

if [ "${1:-}" = --inside ]; then inside "$2" "$3"; else main; fi
