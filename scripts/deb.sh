#!/usr/bin/env bash
# Makes a Debian package of what `make build` has built for the running Debian's PHP: target/deb/php-wsengine_*.deb.
# DEBFULLNAME and DEBEMAIL name who answers for it (default: the author of the last commit).
set -euo pipefail
cd "$(dirname "$0")/.."

PACKAGE=php-wsengine
REVISION=1
OUT=target/deb

main() {
    command -v dpkg-deb >/dev/null || { echo "deb: no dpkg-deb: packages are made on Debian only" >&2; exit 1; }
    version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n1)-$REVISION
    php=$(php-config --version | cut -d. -f1-2)
    architecture=$(dpkg --print-architecture)
    maintainer="${DEBFULLNAME:-$(git log -1 --format=%an)} <${DEBEMAIL:-$(git log -1 --format=%ae)}>"
    export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
    rm -rf "$OUT"
    mkdir -p "$OUT/debian"
    tree=$PWD/$OUT/tree
    docs=$tree/usr/share/doc/$PACKAGE

    DESTDIR=$tree DOC_NAME=$PACKAGE PREFIX='' scripts/install-php.sh >/dev/null
    extension=$(find "$tree/usr/lib" -name wsengine.so)
    chmod 644 "$extension" # no program
    strip --strip-unneeded --remove-section=.comment --remove-section=.note "$extension"
    texts
    control
    scripts
    find "$tree" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
    dpkg-deb --build --root-owner-group "$tree" "$OUT/${PACKAGE}_${version}_$architecture.deb"
}

# Debian's names for what every package tells. The texts of our licences are in Debian's base, but for MIT's.
texts() {
    gzip -9n <"$docs/CHANGELOG.md" >"$docs/changelog.gz"
    gzip -9n >"$docs/changelog.Debian.gz" <<TEXT
$PACKAGE ($version) unstable; urgency=medium

  * See changelog.gz.

 -- $maintainer  $(date -R -d "@$SOURCE_DATE_EPOCH")
TEXT
    {
        cat <<'TEXT'
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: wsengine
Comment: The extension contains the Rust crates that Cargo.lock names, each under a licence that deny.toml allows.

Files: *
TEXT
        sed -n 's/^Copyright (c) /Copyright: /p' LICENSE-MIT
        echo "License: Expat or Apache-2.0"
        printf '\nLicense: Expat\n'
        sed -e '1,/^Copyright/d' -e 's/^$/./' -e 's/^/ /' LICENSE-MIT | tail -n +2
        printf '\nLicense: Apache-2.0\n On Debian it is in /usr/share/common-licenses/Apache-2.0.\n'
    } >"$docs/copyright"
    rm "$docs"/LICENSE-* "$docs/CHANGELOG.md"
}

control() {
    local libraries
    printf 'Source: %s\n\nPackage: %s\nArchitecture: any\n' "$PACKAGE" "$PACKAGE" >"$OUT/debian/control"
    # PHP itself has what it does not find in libraries, and it says so.
    libraries=$(cd "$OUT" && dpkg-shlibdeps -O "$extension" 2>shlibdeps.log | sed 's/^shlibs:Depends=//')
    mkdir "$tree/DEBIAN"
    cat >"$tree/DEBIAN/control" <<TEXT
Package: $PACKAGE
Version: $version
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $(du -ks --exclude=DEBIAN "$tree" | cut -f1)
Provides: php$php-wsengine
Depends: php$php-cli, phpapi-$(php-config --phpapi), php-common (>= 2:69~), $libraries
Suggests: php-psr-log
Section: php
Priority: optional
Description: WebSocket server as a library for PHP
 A PHP script on the command line becomes a WebSocket server: an engine with
 threads of its own does sockets, handshakes, TLS, framing, limits and
 timeouts, and the script polls events and sends.
 .
 With the extension come classes on top of it, and adapters by which scripts
 for several older WebSocket classes run on this engine.
TEXT
    (cd "$tree" && find etc -type f -printf '/%p\n' >DEBIAN/conffiles)
    (cd "$tree" && find usr -type f -exec md5sum {} + | LC_ALL=C sort -k2 >DEBIAN/md5sums)
}

# Debian's helper enables it for every interface of PHP unless the administrator has said otherwise. Its memory of that
# outlives the setting, which is gone when the package is purged.
scripts() {
    maintainer_script postinst configure "php_invoke enmod $php ALL wsengine"
    maintainer_script prerm remove "php_invoke dismod $php ALL wsengine"
    maintainer_script postrm purge "rm -f /var/lib/php/modules/$php/*/*_by_*/wsengine"
}

maintainer_script() {
    cat >"$tree/DEBIAN/$1" <<SCRIPT
#!/bin/sh
set -e
if [ "\$1" = $2 ] && [ -e /usr/lib/php/php-maintscript-helper ]; then
    . /usr/lib/php/php-maintscript-helper
    $3
fi
SCRIPT
    chmod 755 "$tree/DEBIAN/$1"
}

main
