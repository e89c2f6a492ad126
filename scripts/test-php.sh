#!/usr/bin/env bash
# The tests of the PHP extension with another PHP than this machine's, in a Debian 13 root:
#   test-php.sh 84      PHP 8.4 as Debian has it
#   test-php.sh debug   PHP 8.4 with threads (ZTS) and checks, built from Debian's source: it names every leak
#
# The root and what is built stay in target/roots and target/php-*, for the next run; remove them to begin anew.
# Needs root, see root.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/root.sh

SUITE=trixie
MAX_SECONDS=3600
TREE=/root/wsengine
# Where PHP is built and installed in the root.
DEBUG=/opt/php-debug

# What the tests use, and PHPUnit.
CONFIGURE=(--enable-debug --enable-zts --enable-mbstring --enable-pcntl --enable-sockets --with-openssl --with-zlib
    --disable-cgi --disable-phpdbg --without-sqlite3 --without-pdo-sqlite)
BUILD_PACKAGES=(autoconf bison dpkg-dev g++ libonig-dev libssl-dev libxml2-dev make pkg-config re2c zlib1g-dev)

inside() {
    trap 'exit 130' INT TERM
    kept_root "$SUITE"
    mount_root
    mkdir -p "$root$TREE"
    mount --bind . "$root$TREE"
    in_root scripts/setup.sh php-test
    "test_$1"
}

test_84() {
    test_with php84 release --release PHP=/usr/bin/php PHP_CONFIG=/usr/bin/php-config
}

test_debug() {
    [ -f "$root$DEBUG/built" ] || build_debug
    # A build with the checks of Rust goes with a PHP that has its own.
    test_with php-debug debug PHP="$DEBUG/bin/php" PHP_CONFIG="$DEBUG/bin/php-config"
}

# test_with NAME PROFILE [--release] VARIABLE...
test_with() {
    local name=$1 profile=$2 options=()
    shift 2
    [ "$1" != --release ] || { options=(--release); shift; }
    say "building the extension"
    in_root env "$@" CARGO_TARGET_DIR="target/$name" \
        cargo build --quiet --locked "${options[@]}" --package wsengine-php
    in_root env "$@" PHP_EXTENSION="$TREE/target/$name/$profile/libwsengine_php.so" php-ext/tests/run.sh
}

# About five minutes, once.
build_debug() {
    local log=target/php-debug.log
    say "building PHP with --enable-debug --enable-zts, see $log"
    sed 's/^deb /deb-src /' "$root/etc/apt/sources.list" >"$root/etc/apt/sources.list.d/source.list"
    # shellcheck disable=SC2016 # the inner shell expands these
    in_root sh -eu -c '
        tree=$1 build=$2 options=$3
        shift 3
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
        rm -rf "$build" /root/php
        mkdir /root/php
        cd /root/php
        apt-get source -qq php8.4
        cd php8.4-*/
        ./buildconf --force
        ./configure --prefix="$build" --with-config-file-path="$build/etc" $options
        make -j "$(nproc)"
        make install
        mkdir "$build/etc"
        # PHPUnit is where Debian has it.
        echo include_path=.:/usr/share/php >"$build/etc/php.ini"
        rm -rf /root/php
        touch "$build/built"
        ' sh "$TREE" "$DEBUG" "${CONFIGURE[*]}" "${BUILD_PACKAGES[@]}" >"$log" 2>&1 ||
        { tail -n 40 "$log"; die "PHP does not build"; }
}

case ${1:-} in
    --inside) inside "$2" ;;
    84 | debug) isolate "$MAX_SECONDS" "$1" ;;
    *) die "which PHP? 84 or debug" ;;
esac
