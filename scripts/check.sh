#!/usr/bin/env bash
# What must hold before any test runs: `make check`. Every rule is tried, so that one run names all
# that is wrong.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=0

check() {
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then
        echo "check: $name"
    else
        printf '%s\n' "$output" >&2
        echo "check: $name: FAILED" >&2
        failed=1
    fi
}

# Crates in the graph of package $1, with edges $2 and at most $3 levels below it.
graph() {
    cargo tree --locked --package "$1" --edges "$2" --depth "$3" --target all --prefix none --format '{p}' |
        tail -n +2 | cut -d' ' -f1 | sort -u
}

forbid() {
    local what=$1 crates=$2 found
    shift 2
    found=$(grep -Fx "$(printf '%s\n' "$@")" <<<"$crates") || return 0
    echo "$what must not depend on $(paste -sd' ' <<<"$found")"
    return 1
}

layers() {
    local io=(hyper hyper-util mio socket2 tokio tower-http) faces=(wsengine-capi wsengine-php) status=0
    # sha1 reaches libc on some processors to ask what they can do; calling it directly is another matter.
    forbid wsengine-proto "$(graph wsengine-proto normal 99)" "${io[@]}" wsengine "${faces[@]}" || status=1
    forbid wsengine-proto "$(graph wsengine-proto normal 1)" libc || status=1
    forbid wsengine "$(graph wsengine all 99)" "${faces[@]}" || status=1
    forbid wsengine-capi "$(graph wsengine-capi normal,dev,build 1)" wsengine-php wsengine-proto || status=1
    forbid wsengine-php "$(graph wsengine-php normal,dev,build 1)" wsengine-capi wsengine-proto || status=1
    for crate in wsengine-capi wsengine-php; do
        graph "$crate" normal 1 | grep -qx wsengine || { echo "$crate must depend on wsengine"; status=1; }
    done
    graph wsengine normal 1 | grep -qx wsengine-proto || { echo "wsengine must depend on wsengine-proto"; status=1; }
    return "$status"
}

# Besides the bindings, and tests that look at the process from outside: system calls.
unsafe_files=(engine/src/sys/mod.rs engine/src/sys/fork.rs bench/load/src/sys.rs)

# The word as code: not in a comment, and not as part of unsafe_code.
unsafe_code() {
    local found status=0
    found=$(find bench engine -name '*.rs' -not -path '*/tests/*' | grep -vFx "$(printf '%s\n' "${unsafe_files[@]}")" |
        xargs -r grep -nHw unsafe | grep -Ev '^[^:]+:[0-9]+: *//' || true)
    [ -z "$found" ] || { printf 'unsafe outside the bindings, %s:\n%s\n' "${unsafe_files[*]}" "$found"; status=1; }
    grep -qF '#![forbid(unsafe_code)]' engine/proto/src/lib.rs ||
        { echo 'engine/proto/src/lib.rs must say #![forbid(unsafe_code)]'; status=1; }
    return "$status"
}

# The database of advisories comes from the network; where it cannot be fetched the last copy counts, for the tool's 90 days.
# Without one the rest of the rules still holds.
advisories() {
    local manifest copies=("${CARGO_HOME:-$HOME/.cargo}"/advisory-dbs/*/.git)
    if ! timeout 60 cargo deny fetch db >/dev/null 2>&1; then
        if [ ! -e "${copies[0]}" ]; then
            echo "check: advisories NOT CHECKED: their database cannot be fetched from here, and there is no copy"
            return
        fi
        echo "check: the database of advisories cannot be fetched from here: the last copy counts"
    fi
    for manifest in Cargo.toml fuzz/Cargo.toml bench/peers/Cargo.toml; do
        cargo fetch --quiet --locked --manifest-path "$manifest"
        check "advisories, $manifest" \
            cargo deny --manifest-path "$manifest" --locked --offline check --hide-inclusion-graph advisories
    done
}

# The tool wants a newer Rust than we do; scripts/setup.sh says so.
php_types() {
    if command -v mago >/dev/null; then
        check "types in php-ext/lib" mago --workspace php-ext --config php-ext/mago.toml analyze
    else
        echo "check: types in php-ext/lib NOT CHECKED: there is no mago"
    fi
}

scripts() {
    # shellcheck disable=SC2038 # our own names
    find .ci bench capi php-ext scripts tests -name '*.sh' -o -path .ci/run | xargs -n 1 bash -n
}

check "format" cargo fmt --all --check
check "format of the fuzz targets" cargo fmt --manifest-path fuzz/Cargo.toml --check
check "format of the peers in bench" cargo fmt --manifest-path bench/peers/Cargo.toml --check
check "clippy" cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
check "layers" layers
check "unsafe code" unsafe_code
check "C header" cargo test --locked --quiet --package wsengine-capi --test header
check "shell scripts" scripts
php_types
check "licences, bans, sources" cargo deny --locked check --hide-inclusion-graph licenses bans sources
advisories
exit "$failed"
