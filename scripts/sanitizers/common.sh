# What building for a sanitizer takes, to be sourced in the project's folder: rustc's switches for its nightly versions, and
# for ThreadSanitizer what it must be told of Rust's standard library (tsan_std.c).
# shellcheck shell=bash

SANITIZERS=$PWD/scripts/sanitizers
TARGET=$(rustc -vV | sed -n 's/^host: //p')
export TSAN_OPTIONS="suppressions=$SANITIZERS/tsan.supp"

# sanitized_cargo address|thread FOLDER FLAGS ARGUMENTS...: cargo, with all compiled for the sanitizer into that folder.
# ThreadSanitizer must see generic code of the standard library, too: it is compiled here and not taken from where it lies
# without checks.
sanitized_cargo() {
    local flags="-Zsanitizer=$1 -Cunsafe-allow-abi-mismatch=sanitizer $3" folder=$2
    [ "$1" = address ] || flags+=" -Zshare-generics=no -Zcross-crate-inline-threshold=yes"
    shift 3
    RUSTC_BOOTSTRAP=1 RUSTFLAGS=$flags CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=1 \
        cargo "$@" --locked --target "$TARGET" --target-dir "$folder"
}

# sanitizer_runtime address|thread: the file of rustup's toolchain that the linker needs.
sanitizer_runtime() {
    local folder
    folder=$(rustc --print target-libdir)
    ls "$folder"/librustc*_rt."${1:0:1}"san.a 2>/dev/null && return
    echo "this Rust has no runtime of the $1 sanitizer in $folder: use one of rustup" >&2
    return 1
}

# wrap_std OBJECT: compiles tsan_std.c into it. The linker has to be given it and the words of $wraps.
wrap_std() {
    local names name symbol defines=()
    names=$(nm -D "$(rustc --print target-libdir)"/libstd-*.so | grep -oE '_R[A-Za-z0-9_]+$' | sort -u)
    wraps=()
    for name in MUTEX_LOCK:mutex5futex.*14lock_contended RWLOCK_READ:rwlock5futex.*14read_contended \
        RWLOCK_WRITE:rwlock5futex.*15write_contended CONDVAR_WAIT:condvar5futex.*4wait \
        CONDVAR_WAIT_TIMEOUT:condvar5futex.*12wait_timeout ONCE_CALL:once5futex.*4call; do
        if ! symbol=$(grep -E "3std3sys4sync.*${name#*:}\$" <<<"$names"); then
            echo "Rust's standard library has no ${name#*:} any more: see $SANITIZERS/tsan_std.c" >&2
            return 1
        fi
        defines+=("-D${name%%:*}=$symbol")
        wraps+=("-Wl,--wrap=$symbol")
    done
    gcc -std=c99 -O1 -g -Wall -Wextra -Werror "${defines[@]}" -c "$SANITIZERS/tsan_std.c" -o "$1"
}
