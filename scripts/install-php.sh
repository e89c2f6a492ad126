#!/usr/bin/env bash
# Installs what `make build` has built for PHP, or removes it: install-php.sh [--remove]
#
#   PHP_CONFIG  the php-config of the PHP to install for (default: php-config); where extensions and settings go
#   PREFIX      the classes go to PREFIX/share/php, texts and examples to PREFIX/share/doc; without it to where this PHP
#               looks for classes and to the share/doc of its own prefix
#   DOC_NAME    the folder in share/doc (default: wsengine)
#   DESTDIR     stands before every path, for packages: nothing outside of it is touched, and PHP is not told
set -euo pipefail
cd "$(dirname "$0")/.."

PHP_CONFIG=${PHP_CONFIG:-php-config}
DESTDIR=${DESTDIR:-}
BUILT=$(realpath -m "${CARGO_TARGET_DIR:-target}/release/libwsengine_php.so")
DOCS=(README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT docs)

die() { printf 'install: %s\n' "$*" >&2; exit 1; }

places() {
    local settings
    command -v "$PHP_CONFIG" >/dev/null || die "there is no $PHP_CONFIG: install php-dev or set PHP_CONFIG"
    php=$("$PHP_CONFIG" --php-binary)
    version=$("$PHP_CONFIG" --version | cut -d. -f1-2)
    extensions=$("$PHP_CONFIG" --extension-dir)
    share=${PREFIX:-$("$PHP_CONFIG" --prefix)}/share
    docs=$share/doc/${DOC_NAME:-wsengine}
    if [ -n "${PREFIX:-}" ]; then
        classes=$share/php
    else
        classes=$("$php" -r 'foreach (explode(":", get_include_path()) as $path) if ($path[0] === "/") exit($path);') ||
            die "$php does not run"
        classes=${classes:-$share/php}
    fi
    # Debian keeps the settings of all extensions in one folder and links to those that are enabled.
    settings=$("$PHP_CONFIG" --ini-dir)
    debian=
    if [ -d "${settings%/*/conf.d}/mods-available" ]; then
        debian=yes
        settings=${settings%/*/conf.d}/mods-available
    fi
    setting=${settings:+$settings/wsengine.ini}
}

install_all() {
    [ -f "$BUILT" ] || die "there is no $BUILT: run make build"
    "$php" -n -d extension="$BUILT" -r 'exit(extension_loaded("wsengine") ? 0 : 1);' ||
        die "$BUILT was not built for $php: run make build with PHP=$php PHP_CONFIG=$PHP_CONFIG"

    put 755 "$BUILT" "$extensions/wsengine.so"
    put_tree php-ext/lib "$classes/WsEngine"
    put 644 php-ext/wsengine.stub.php "$classes/WsEngine/wsengine.stub.php"
    rm -rf "$DESTDIR$docs"
    for path in "${DOCS[@]}"; do
        if [ -d "$path" ]; then put_tree "$path" "$docs/$path"; else put 644 "$path" "$docs/$path"; fi
    done
    put_tree examples/php "$docs/examples"
    put_tree examples/systemd "$docs/examples/systemd"
    # From here on the classes are found by PHP's include_path.
    find "$DESTDIR$docs/examples" -name '*.php' -exec sed -i "s#__DIR__ . '/[./]*/php-ext/lib/#'WsEngine/#" {} +

    if [ -z "$setting" ]; then
        echo "install: add to the php.ini in $("$PHP_CONFIG" --ini-path): extension=wsengine"
    elif [ -e "$DESTDIR$setting" ]; then
        echo "install: $setting stays as it is"
    else
        mkdir -p "$DESTDIR${setting%/*}"
        printf '; WebSocket server, %s\n; priority=20\nextension=wsengine\n' "$docs/docs/php.md" >"$DESTDIR$setting"
        chmod 644 "$DESTDIR$setting"
    fi
    [ -z "$debian" ] || [ -n "$DESTDIR" ] || phpenmod -v "$version" wsengine
    echo "install: wsengine for PHP $version is in $DESTDIR$extensions, its classes are in $DESTDIR$classes/WsEngine"
}

remove_all() {
    [ -z "$debian" ] || [ -n "$DESTDIR" ] || [ ! -e "$setting" ] || disable
    rm -f "$DESTDIR$extensions/wsengine.so" ${setting:+"$DESTDIR$setting"}
    rm -rf "$DESTDIR$classes/WsEngine" "$DESTDIR$docs"
    echo "install: wsengine for PHP $version is removed"
}

# With -p Debian forgets that it was enabled or disabled, for one interface at a time.
disable() {
    local interface
    for interface in $(phpquery -S -v "$version"); do
        phpdismod -p -v "$version" -s "$interface" wsengine
    done
}

# put MODE FILE PATH
put() { install -D -m "$1" "$2" "$DESTDIR$3"; }

# put_tree FOLDER PATH: with all that git would have, in the place of what is there.
put_tree() {
    local file mode
    rm -rf "$DESTDIR${2:?}"
    while read -r file; do
        if [ -x "$file" ]; then mode=755; else mode=644; fi
        put "$mode" "$file" "$2/${file#"$1/"}"
    done < <(find "$1" -type f -not -name '.*' -not -name '*~' | sort)
}

places
if [ "${1:-}" = --remove ]; then remove_all; else install_all; fi
