#!/usr/bin/env bash
# Runs the chat on two nodes behind HAProxy, and a Redis for them if the environment names none as REDIS:
# run.sh EXTENSION ADDRESS PORT. Ctrl-C ends all.
set -euo pipefail
cd "$(dirname "$0")"

[ $# = 3 ] || { echo "usage: run.sh EXTENSION ADDRESS PORT" >&2; exit 1; }
extension=$1
export ADDRESS=$2 PORT=$3

# Of process groups of their own, so that Ctrl-C reaches them by this script alone, and Redis last.
folder=$(mktemp -d)
jobs=() redis=
finish() {
    trap '' INT TERM
    for job in "${jobs[@]}" $redis; do
        kill -TERM "$job" 2>/dev/null || true
        wait "$job" 2>/dev/null || true
    done
    rm -rf "$folder"
}
trap finish EXIT
trap 'exit 0' INT TERM

die() { echo "$*" >&2; exit 1; }

if [ -z "${REDIS:-}" ]; then
    setsid redis-server --port 0 --unixsocket "$folder/redis.sock" --save '' --appendonly no --dir "$folder" >/dev/null &
    redis=$!
    REDIS=redis+unix://$folder/redis.sock
fi
# Who connects to a node says who the client is: HAProxy.
export REDIS TRUSTED_PROXIES=127.0.0.1

# Starts a node, with its number before each of its lines, and sets NODE_n to where it listens.
node() {
    local log=$folder/node-$1 url
    setsid php -q -d "extension=$extension" ../chat/server.php 127.0.0.1 0 > >(tee "$log" | sed -u "s/^/$1: /") 2>&1 </dev/null &
    jobs+=($!)
    until url=$(grep -om1 'http://[^/]*' "$log" 2>/dev/null); do
        kill -0 "${jobs[-1]}" 2>/dev/null || die "node $1 has ended"
        sleep 0.05
    done
    export "NODE_$1=${url#http://}"
}
node 1
node 2

# Not a process group's leader: HAProxy would have its worker end with this script only.
setsid haproxy -q -f haproxy.cfg &
jobs+=($!)
until curl -sf -o /dev/null "http://$ADDRESS:$PORT/healthz"; do
    kill -0 "${jobs[-1]}" 2>/dev/null || die "HAProxy has ended"
    sleep 0.1
done
echo "Open           : http://$ADDRESS:$PORT/ (its nodes: $NODE_1 and $NODE_2)"
# As long as one of them is there.
while kill -0 "${jobs[@]}" 2>/dev/null; do sleep 1 & wait $! || true; done
