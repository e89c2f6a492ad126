#!/usr/bin/env bash
# `make chat` and `make test` as a stranger meets them: in a clean Debian 12 root that has nothing but
# make and the Rust toolchain of this machine, on a clone of HEAD. FRESH_ONLY=chat stops after the first.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/root.sh

STOP_SECONDS=1
MAX_SECONDS=7200
LOG=target/test-fresh.log

main() {
    mkdir -p target
    temporary_root
    isolate "$MAX_SECONDS" "$root"
}

inside() {
    trap 'exit 130' INT TERM
    root=$1
    make_root bookworm "$LOG"
    mount_root
    git clone --quiet --no-local . "$root/root/wsengine"
    prove_chat
    [ "${FRESH_ONLY:-}" = chat ] || prove_test
}

prove_chat() {
    local page job started milliseconds
    say "make chat"
    set -m # a process group of its own, as in a terminal: Ctrl-C reaches make and PHP alike
    in_root make chat PORT=0 >"$LOG" 2>&1 </dev/null &
    job=$!
    set +m
    until page=$(grep -om1 'http://127\.0\.0\.1:[0-9]*' "$LOG"); do
        kill -0 "$job" 2>/dev/null || { tail -n 40 "$LOG"; die "make chat ended"; }
        sleep 0.2
    done
    answers "$page" || { tail -n 20 "$LOG"; die "$page does not answer as it should"; }
    say "the page and a WebSocket handshake answer at $page"

    started=$(date +%s%N)
    kill -INT -- "-$job"
    for ((i = 0; i < 500; i++)); do
        kill -0 "$job" 2>/dev/null || break
        sleep 0.01
    done
    milliseconds=$((($(date +%s%N) - started) / 1000000))
    [ "$milliseconds" -le $((STOP_SECONDS * 1000)) ] || die "Ctrl-C took $milliseconds ms"
    say "Ctrl-C ended it in $milliseconds ms"
}

answers() {
    local handshake key=dGhlIHNhbXBsZSBub25jZQ== accept=s3pPLMBiTxaQ9kYGzzhZRbK+xOo= # RFC 6455, section 1.3
    curl --silent --show-error --fail --noproxy '*' --max-time 5 "$1/" | grep -qi '<html' || return 1
    # The connection stays open, so curl ends by its time limit and with an error.
    handshake=$(curl --silent --include --noproxy '*' --max-time 1 --http1.1 --output - "$1/" \
        -H 'Connection: Upgrade' -H 'Upgrade: websocket' \
        -H 'Sec-WebSocket-Version: 13' -H "Sec-WebSocket-Key: $key" | tr -d '\0' || true)
    grep -qi "^sec-websocket-accept: $accept" <<<"$handshake"
}

prove_test() {
    say "make test"
    in_root make test </dev/null || die "make test failed"
}

if [ "${1:-}" = --inside ]; then
    inside "$2"
else
    main
fi
