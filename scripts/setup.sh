#!/usr/bin/env bash
# Installs what is missing for the needs named as arguments, and nothing else.
#   bench     `make bench`, with the servers of others
#   c         build the C library
#   php       build the PHP extension and run PHP scripts
#   check     what `make check` calls
#   deb       `make deb`
#   fuzz      `make fuzz`
#   php-test  the tests of the PHP extension alone
#   test      every test suite
#   cluster   `make cluster`
#   workers   `make workers`
#   root      tests in clean roots, such as `make test-fresh`
# On Debian and Ubuntu by apt, elsewhere it names the packages and stops.
# With nothing missing it costs a few milliseconds.
set -euo pipefail
cd "$(dirname "$0")/.."

CARGO_DENY=0.20.2
MAGO=1.29.0
MAGO_RUST=1.95
SOCKETIFY=0.0.31
SOCKETIFY_SHA256=7502bed5b382e75f04ea3c6d6b53b76f27bb8653740db92e3f2b55fab388df20
VENV=target/venv
NEEDS="bench, c, php, deb, fuzz, php-test, check, test, cluster, workers, root"

die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

packages_for() {
    case $1 in
        bench) packages_for php; echo libuv1-dev libwebsockets-dev node-ws nodejs python3-venv ;;
        c) echo gcc libc6-dev ;;
        # php-dev brings the compiler's headers, bindgen in ext-php-rs loads libclang.
        php) packages_for c; echo libclang-dev php-cli php-dev ;;
        check) packages_for php; echo php-psr-log ;;
        deb) packages_for php; echo dpkg-dev ;;
        fuzz) packages_for c; echo g++ xz-utils ;;
        php-test) packages_for php; echo php-psr-log phpunit valgrind ;;
        test)
            packages_for php-test
            packages_for fuzz
            echo chromium chromium-driver clang cmake curl g++ haproxy libapache2-mod-php libevent-dev libuv1-dev nginx
            echo node-redis node-ws nodejs openssl php-amphp-amp php-fpm php-guzzlehttp-psr7 php-nrk-predis php-nyholm-psr7
            echo php-readline php-redis pkg-config python3-venv redis-server redis-tools systemd
            ;;
        cluster) packages_for php; echo curl haproxy redis-server ;;
        workers) packages_for php; echo redis-server ;;
        root) echo curl debootstrap git ;;
        *) die "unknown need '$1' ($NEEDS)" ;;
    esac
}

at_least() {
    [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n1)" = "$1" ]
}

need_rust() {
    local least found
    least=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    found=$(rustc --version 2>/dev/null | cut -d' ' -f2) || true
    command -v cargo >/dev/null || found=
    [ -n "$found" ] ||
        die "Rust $least or newer is needed and no rustc and cargo are on the PATH." \
            "Install it with rustup (rust-lang.org/tools/install); Debian's own package is too old."
    at_least "$least" "$found" ||
        die "Rust $least or newer is needed, this is $found. With rustup: rustup update stable"
}

missing_packages() {
    local installed
    installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "$@" 2>/dev/null || true)
    for package; do
        grep -qx "$package installed" <<<"$installed" || echo "$package"
    done
}

install_packages() {
    command -v apt-get >/dev/null ||
        die "this system has no apt. Install what these Debian packages hold and set" \
            "SETUP_SKIP_PACKAGES=1: $*"
    local missing sudo=()
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || die "as root, run: apt-get install ${missing[*]}"
        sudo=(sudo)
    fi
    echo "setup: installing ${missing[*]}"
    "${sudo[@]}" apt-get update -qq
    without_services env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Debian makes services of nginx, HAProxy, PHP-FPM and Redis and starts them, nginx on port 80: the tests want only the
# programs. Those that were there before are left alone. (101 of policy-rc.d(8) means: do not start.)
without_services() {
    local policy=/usr/sbin/policy-rc.d made='' status=0 package service
    if [ ! -e $policy ]; then
        made=$policy
        printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$made" >/dev/null
        "${sudo[@]}" chmod 755 "$made"
    fi
    "${sudo[@]}" "$@" || status=$?
    [ -z "$made" ] || "${sudo[@]}" rm "$made"
    for package in haproxy nginx php-fpm redis-server; do
        [[ " ${missing[*]} " == *" $package "* ]] && command -v systemctl >/dev/null || continue
        # The service of php-fpm has PHP's version in its name.
        for service in /lib/systemd/system/${package/php-/php*-}.service; do
            "${sudo[@]}" systemctl --quiet disable "${service##*/}" 2>/dev/null || true
        done
    done
    return "$status"
}

# Not optimised it builds fastest, and runs for a second.
install_cargo_deny() {
    cargo deny --version >/dev/null 2>&1 && return
    echo "setup: building cargo-deny $CARGO_DENY (about two minutes, once)"
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=0 \
        cargo install --quiet --locked "cargo-deny@$CARGO_DENY"
}

# It checks the types of PHP. Not optimised it builds in three minutes instead of ten, and runs for a second too.
install_mago() {
    [ "$(mago --version 2>/dev/null)" != "mago $MAGO" ] || return 0
    at_least "$MAGO_RUST" "$(rustc --version | cut -d' ' -f2)" ||
        { echo "setup: mago needs Rust $MAGO_RUST, so php-ext/lib will not be analysed"; return 0; }
    echo "setup: building mago $MAGO (about three minutes, once)"
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=0 \
        cargo install --quiet --locked "mago@$MAGO"
}

need_component() {
    cargo "$1" --version >/dev/null 2>&1 || die "'cargo $1' is missing. With rustup: rustup component add $2"
}

install_python() {
    cmp -s tests/requirements.txt "$VENV/installed.txt" && return
    echo "setup: creating $VENV"
    python3 -m venv --clear "$VENV"
    "$VENV/bin/pip" install --quiet --disable-pip-version-check -r tests/requirements.txt
    cp tests/requirements.txt "$VENV/installed.txt"
}

# Its package in the source form holds the library that we call.
install_socketify() {
    local folder=target/bench/socketify package=socketify-$SOCKETIFY
    [ ! -e "$folder/$package" ] || return 0
    [ "$(uname -m)" = x86_64 ] || { echo "setup: there is no uWebSockets for $(uname -m): it is left out"; return 0; }
    echo "setup: fetching $package"
    install_python
    mkdir -p "$folder"
    echo "socketify==$SOCKETIFY --hash=sha256:$SOCKETIFY_SHA256" >"$folder/requirements.txt"
    "$VENV/bin/pip" download --quiet --disable-pip-version-check --no-deps --no-binary :all: --require-hashes \
        -d "$folder" -r "$folder/requirements.txt"
    tar -xzf "$folder/$package.tar.gz" -C "$folder" --strip-components 3 \
        "$package/src/socketify/libsocketify_linux_amd64.so"
    touch "$folder/$package"
}

[ $# -gt 0 ] || die "name what is needed: $NEEDS"
need_rust
packages=
for need; do
    more=$(packages_for "$need")
    packages+=" $more"
done
# shellcheck disable=SC2086 # a list of words
[ -n "${SETUP_SKIP_PACKAGES:-}" ] || install_packages $packages
for need; do
    case $need in
        check | test)
            need_component fmt rustfmt
            need_component clippy clippy
            install_cargo_deny
            install_mago
            ;;&
        test) install_python ;;
        bench) install_socketify ;;
    esac
done
