#!/usr/bin/env bash
# `make chat` and `make test` as a stranger meets them: in a clean Debian 12 root that has nothing but
# make and the Rust toolchain of this machine, on a clone of HEAD. FRESH_ONLY=chat stops after the first.
#
# Needs root and a Debian 12 host, whose package mirror, apt, pip, cargo and certificate settings it uses.
# All mounts and processes live in namespaces of their own and end with this script, however it ends.
set -euo pipefail
cd "$(dirname "$0")/.."

SUITE=bookworm
STOP_SECONDS=1
LOG=target/test-fresh.log
root=
child=

say() { echo "test-fresh: $*"; }
die() { say "$*" >&2; exit 1; }

main() {
    [ "$(id -u)" = 0 ] || die "must run as root: it mounts and uses chroot"
    mkdir -p target
    root=$(mktemp -d --tmpdir wsengine-fresh.XXXXXX)
    trap clean EXIT
    trap 'exit 130' INT TERM
    unshare --mount --pid --fork --kill-child --propagation private "$0" --inside "$root" &
    child=$!
    wait "$child"
}

# Ending unshare ends all that runs in its namespaces; no mount is ever visible from here.
clean() {
    kill -KILL "$child" 2>/dev/null || true
    wait "$child" 2>/dev/null || true
    rm -rf --one-file-system "$root" 2>/dev/null || { sleep 1; rm -rf --one-file-system "$root"; }
}

inside() {
    root=$1
    make_root
    prove_chat
    [ "${FRESH_ONLY:-}" = chat ] || prove_test
}

make_root() {
    local mirror sysroot
    # shellcheck disable=SC2016 # apt expands these
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' | sed -n "s/ $SUITE\$//p" | head -n1)
    [ -n "$mirror" ] || die "this machine's apt knows no mirror of Debian 12 ($SUITE)"
    say "a clean $SUITE"
    chmod 755 "$root" # mktemp's 700 would keep apt's own user out
    debootstrap --variant=minbase --include=ca-certificates,make "$SUITE" "$root" "$mirror" >"$LOG" ||
        { tail -n 20 "$LOG"; die "debootstrap failed"; }

    sysroot=$(rustc --print sysroot)
    if [ ! -x "$sysroot/bin/cargo" ] || [ "$sysroot" = /usr ]; then
        die "$sysroot is no toolchain of its own to copy"
    fi
    for directory in bin lib libexec; do
        [ ! -d "$sysroot/$directory" ] || cp -a "$sysroot/$directory" "$root/usr/local/"
    done

    # How this machine reaches its packages, not what it has installed.
    rm -f "$root/etc/apt/sources.list"
    cp -a /etc/apt /etc/resolv.conf /etc/hosts "$root/etc/"
    for path in /usr/share/keyrings /etc/ssl/certs /usr/share/ca-certificates /usr/local/share/ca-certificates \
        /etc/pip.conf "$HOME/.config/pip" "${CARGO_HOME:-$HOME/.cargo}/config.toml"; do
        [ -e "$path" ] || continue
        case $path in
            "$HOME/.config/pip") target=/root/.config/ ;;
            *config.toml) target=/root/.cargo/ ;;
            *) target=$(dirname "$path") ;;
        esac
        mkdir -p "$root$target"
        cp -a "$path" "$root$target"
    done

    mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
    git clone --quiet --no-local . "$root/root/wsengine"
}

# A command in the root, with a login's bare environment and this machine's network settings.
in_root() {
    local network
    mapfile -t network < <(env | grep -iE '^(https?_proxy|no_proxy|pip_|cargo_(http|net|registries)_|[a-z_]*(cert|cainfo|ca_bundle)[a-z_]*)=' || true)
    chroot "$root" /usr/bin/env -i "${network[@]}" CI=true HOME=/root LANG=C.UTF-8 TERM=dumb \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        sh -c 'cd /root/wsengine && exec "$@"' sh "$@"
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
    trap 'exit 130' INT TERM
    inside "$2"
else
    main
fi
