#!/usr/bin/env bash
# Runs the workers, and a Redis for them if the environment names none as REDIS: run.sh EXTENSION WORKERS ADDRESS PORT
set -euo pipefail
cd "$(dirname "$0")"

[ $# = 4 ] || { echo "usage: run.sh EXTENSION WORKERS ADDRESS PORT" >&2; exit 1; }
folder=
trap '[ -z "$folder" ] || { kill "$redis"; wait "$redis" 2>/dev/null || true; rm -rf "$folder"; }' EXIT
if [ -z "${REDIS:-}" ]; then
    folder=$(mktemp -d)
    # Of another process group: Ctrl-C ends it after the workers.
    setsid redis-server --port 0 --unixsocket "$folder/redis.sock" --save '' --appendonly no --dir "$folder" >/dev/null &
    redis=$!
    REDIS=redis+unix://$folder/redis.sock
fi
export REDIS
echo "Open           : http://$3:$4/"
trap : INT TERM
PHP_OPTIONS="-d extension=$1" php -q supervisor.php "$2" server.php "$3" "$4" &
workers=$!
trap 'kill -TERM "$workers" 2>/dev/null || true' INT TERM
while kill -0 "$workers" 2>/dev/null; do wait "$workers" || true; done
