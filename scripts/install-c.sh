#!/usr/bin/env bash
# Installs what `make lib` has built, the C library, or removes it: install-c.sh [--remove]
#
#   PREFIX      where to (default: /usr/local)
#   LIBDIR      the libraries, with pkgconfig/ and cmake/ (default: PREFIX/lib)
#   INCLUDEDIR  the header (default: PREFIX/include)
#   DESTDIR     stands before every path, for packages: nothing outside of it is touched
set -euo pipefail
cd "$(dirname "$0")/.."

PREFIX=$(realpath -ms "${PREFIX:-/usr/local}")
LIBDIR=${LIBDIR:-$PREFIX/lib}
INCLUDEDIR=${INCLUDEDIR:-$PREFIX/include}
DESTDIR=${DESTDIR:-}
BUILT=$(realpath -m "${CARGO_TARGET_DIR:-target}/release")
VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
MAJOR=${VERSION%%.*}
# As capi/build.rs has it.
SONAME=libwsengine.so.$MAJOR
DOCS=$PREFIX/share/doc/libwsengine

die() { printf 'install: %s\n' "$*" >&2; exit 1; }

install_all() {
    local file
    [ -f "$BUILT/libwsengine.so" ] && [ -f "$BUILT/libwsengine.a" ] || die "nothing is built: run make lib"
    remove_files
    put 755 "$BUILT/libwsengine.so" "$LIBDIR/libwsengine.so.$VERSION"
    put 644 "$BUILT/libwsengine.a" "$LIBDIR/libwsengine.a"
    # What debuggers read is four fifths of them.
    strip --strip-debug "$DESTDIR$LIBDIR/libwsengine.so.$VERSION" "$DESTDIR$LIBDIR/libwsengine.a"
    ln -s "libwsengine.so.$VERSION" "$DESTDIR$LIBDIR/$SONAME"
    ln -s "$SONAME" "$DESTDIR$LIBDIR/libwsengine.so"
    put 644 include/wsengine.h "$INCLUDEDIR/wsengine.h"
    fill wsengine.pc "$LIBDIR/pkgconfig"
    fill wsengine-config.cmake "$LIBDIR/cmake/wsengine"
    fill wsengine-config-version.cmake "$LIBDIR/cmake/wsengine"
    for file in docs/c.md docs/c-reference.md docs/options.md docs/serving.md docs/refusals.md \
        LICENSE-APACHE LICENSE-MIT CHANGELOG.md; do
        put 644 "$file" "$DOCS/${file#docs/}"
    done
    # From there the ways are others.
    sed -i "s#](\.\./include/#]($INCLUDEDIR/#g; s#](\.\./\(examples/c\|examples/systemd\))#](\1)#g
        s#\[\([^]]*\)\](\.\./[^)]*)#\1#g" \
        "$DESTDIR$DOCS"/*.md
    for file in examples/c/*.c examples/systemd/*; do put 644 "$file" "$DOCS/$file"; done
    tell_the_loader
    echo "install: libwsengine $VERSION is in $DESTDIR$LIBDIR, its header in $DESTDIR$INCLUDEDIR"
}

remove_all() {
    remove_files
    tell_the_loader
    echo "install: libwsengine is removed"
}

# Also those of versions before with the same soname; programs that were linked with another may need that one.
remove_files() {
    rm -f "$DESTDIR$LIBDIR"/libwsengine.{a,so} "$DESTDIR$LIBDIR/$SONAME"{,.*} "$DESTDIR$INCLUDEDIR/wsengine.h" \
        "$DESTDIR$LIBDIR/pkgconfig/wsengine.pc"
    rm -rf "$DESTDIR$LIBDIR/cmake/wsengine" "$DESTDIR$DOCS"
}

# Programs find the library where the loader's cache has it, or by LD_LIBRARY_PATH or an rpath.
tell_the_loader() {
    [ -n "$DESTDIR" ] || [ "$(id -u)" != 0 ] || ! command -v ldconfig >/dev/null || ldconfig
}

# fill FILE FOLDER: puts a file of capi/install there, its places filled.
fill() {
    mkdir -p "$DESTDIR$2"
    sed -e "s#@PREFIX@#$PREFIX#; s#@LIBDIR@#$LIBDIR#; s#@INCLUDEDIR@#$INCLUDEDIR#" \
        -e "s#@VERSION@#$VERSION#; s#@SONAME@#$SONAME#; s#@MAJOR@#$MAJOR#" "capi/install/$1.in" >"$DESTDIR$2/$1"
    chmod 644 "$DESTDIR$2/$1"
}

# put MODE FILE PATH
put() { install -D -m "$1" "$2" "$DESTDIR$3"; }

if [ "${1:-}" = --remove ]; then remove_all; else install_all; fi
