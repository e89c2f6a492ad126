#!/usr/bin/env bash
# Tests the C library as a C programmer meets it: header, symbols, linking, and the programs beside this file, built
# by gcc and by clang, linked statically, and under valgrind. Wants `cargo build --release -p wsengine-capi` before.
#   run.sh asan   the programs with AddressSanitizer, the library too, and with UndefinedBehaviorSanitizer
#   run.sh tsan   the programs with ThreadSanitizer, the library too
# These two build the library for it, by switches that rustc has for its nightly versions only. The sanitizers' runtimes
# come with rustup's toolchains.
# One line for each test, the count at the end.
set -uo pipefail
cd "$(dirname "$0")/../.."
. scripts/sanitizers/common.sh

LIBRARY=$(realpath -m "${CARGO_TARGET_DIR:-target}/release")
OUT=target/c-tests
PROGRAMS="churn threads borders user_data lifecycle handshake decisions tls messages topics polling closing processes
    errors options log"
WARNINGS="-Wall -Wextra -Wpedantic -Wconversion -Werror"
STATIC_LIBRARIES=$(sed -n 's/^Libs.private: //p' capi/install/wsengine.pc.in)
VALGRIND="valgrind --quiet --fair-sched=yes --num-callers=20 --error-exitcode=99 --leak-check=full
    --show-leak-kinds=definite,indirect,possible --errors-for-leak-kinds=definite,indirect,possible
    --suppressions=capi/tests/valgrind.supp"
# The runs of programs, each "VARIANT PROGRAM COMMAND...".
runs=()
passed=0
failed=0

main() {
    case ${1:-} in
        '') plain ;;
        asan) OUT=$OUT-asan && sanitized address ;;
        tsan) OUT=$OUT-tsan && sanitized thread ;;
        *) die "unknown word '$1' (asan, tsan or none)" ;;
    esac
    echo "C tests: $passed passed, $failed failed"
    [ "$failed" = 0 ]
}

prepare() {
    local tool
    for tool; do
        command -v "$tool" >/dev/null || die "$tool is missing"
    done
    rm -rf "$OUT"
    mkdir -p "$OUT"
}

plain() {
    prepare gcc g++ clang clang++ make valgrind nm openssl readelf
    [ -e "$LIBRARY/libwsengine.so" ] || die "no $LIBRARY/libwsengine.so: cargo build --release -p wsengine-capi"
    # A program asks for the soname; cargo only makes the plain name.
    ln -s "$LIBRARY/libwsengine.so" "$OUT/libwsengine.so.0"

    header_compiles
    library_is_what_the_header_says
    programs_are_built
    # Valgrind's, which take longest, first. It runs one thread at a time, of which churn has too many.
    local program
    for program in ${PROGRAMS/churn/}; do runs+=("valgrind $program $VALGRIND $OUT/$program.gcc"); done
    for program in $PROGRAMS examples; do
        runs+=("gcc $program $OUT/$program.gcc" "clang $program $OUT/$program.clang")
    done
    runs+=("static lifecycle $OUT/lifecycle.static")
    programs_run
}

# sanitized address|thread
sanitized() {
    local sanitizer=$1 program link
    local runtime options=(-std=c99 -g -O1 -Iinclude)
    prepare gcc nm openssl rustc cargo
    runtime=$(sanitizer_runtime "$sanitizer") || exit 1
    build_sanitized "$sanitizer"
    if [ "$sanitizer" = address ]; then
        # The runtime for undefined behaviour is gcc's and would be the second one here: an error traps instead.
        options+=(-fsanitize=address,undefined -fsanitize-undefined-trap-on-error)
        link=(-Wl,--whole-archive "$runtime" -Wl,--no-whole-archive "$OUT/libwsengine.a")
    else
        options+=(-fsanitize=thread)
        # It knows no threads in a forked child.
        PROGRAMS=${PROGRAMS/processes/}
        # Not by check: the variable that it sets is needed.
        wrap_std "$OUT/tsan_std.o" || die "tsan_std.c cannot be compiled"
        # Also the library whole: a name of it that is wrapped would not be looked for in it.
        link=("$OUT/tsan_std.o" "${wraps[@]}" -Wl,--whole-archive "$runtime" "$OUT/libwsengine.a" -Wl,--no-whole-archive)
    fi
    for program in $PROGRAMS; do
        check "build: $program" gcc "${options[@]}" -c "capi/tests/$program.c" -o "$OUT/$program.o"
        # shellcheck disable=SC2086 # a list of words
        check "link: $program" gcc "$OUT/$program.o" -o "$OUT/$program" "${link[@]}" $STATIC_LIBRARIES
        runs+=("$sanitizer $program $OUT/$program")
    done
    programs_run
    # They have fifty megabytes each; who looks for a failure wants them.
    # shellcheck disable=SC2086 # a list of words
    [ "$failed" != 0 ] || (cd "$OUT" && rm $PROGRAMS)
}

build_sanitized() {
    local folder
    folder=$(realpath -m "${CARGO_TARGET_DIR:-target}")/sanitized-$1
    sanitized_cargo "$1" "$folder" "" build --quiet --package wsengine-capi ||
        die "the library cannot be built for the $1 sanitizer"
    ln -s "$folder/$TARGET/debug/libwsengine.a" "$OUT/libwsengine.a"
}

header_compiles() {
    local compiler standard options="$WARNINGS -Wsign-conversion -Wundef -Wshadow -Iinclude -fsyntax-only"
    cat >"$OUT/include.c" <<'C'
#include <wsengine.h>
#include <wsengine.h>
int main(void)
{
    wsengine_event_t event;
    event.code = WSENGINE_EVENT_OPEN;
    return event.code + (wsengine_version_number() != WSENGINE_VERSION_NUMBER);
}
C
    cp "$OUT/include.c" "$OUT/include.cpp"
    for compiler in gcc clang; do
        for standard in c99 c11 c17 c2x; do
            check "header: $compiler $standard" $compiler -std=$standard -Wstrict-prototypes $options "$OUT/include.c"
        done
    done
    for compiler in g++ clang++; do
        for standard in c++11 c++17 c++20; do
            check "header: $compiler $standard" $compiler -std=$standard $options "$OUT/include.cpp"
        done
    done
}

library_is_what_the_header_says() {
    gcc -E -P -Iinclude "$OUT/include.c" | grep -oE '\bwsengine_[a-z0-9_]+\(' | tr -d '(' | sort -u >"$OUT/declared"
    nm -D --defined-only "$LIBRARY/libwsengine.so" | awk '{print $3}' | sort -u >"$OUT/exported"
    check "library: exports what the header declares and nothing else" diff "$OUT/declared" "$OUT/exported"
    tr '\n' ' ' <include/wsengine.h | grep -oE 'wsengine_[a-z_]+\((const )?wsengine_t \*server' | cut -d'(' -f1 |
        grep -v '^wsengine_free$' | sort >"$OUT/with_server"
    sed -n 's/^CALL(\([a-z_]*\),.*/\1/p' capi/tests/every_call.h | sort >"$OUT/every_call"
    check "tests: every_call.h has every function that takes a server" diff "$OUT/with_server" "$OUT/every_call"
    readelf -d "$LIBRARY/libwsengine.so" >"$OUT/dynamic"
    check "library: its soname is libwsengine.so.0" grep -F 'soname: [libwsengine.so.0]' "$OUT/dynamic"
}

programs_are_built() {
    local compiler program
    local options="-std=c99 -g -O1 $WARNINGS -Iinclude"
    for program in $PROGRAMS examples; do
        for compiler in gcc clang; do
            check "build: $program by $compiler" $compiler $options "capi/tests/$program.c" \
                -o "$OUT/$program.$compiler" "$OUT/libwsengine.so.0" -Wl,-rpath,'$ORIGIN' -lpthread
        done
    done
    check "build: lifecycle with libwsengine.a" gcc $options capi/tests/lifecycle.c \
        -o "$OUT/lifecycle.static" "$LIBRARY/libwsengine.a" $STATIC_LIBRARIES
    sed -n '/^```c$/,/^```$/p' docs/c.md | grep -v '^```' >"$OUT/documentation.c"
    check "build: the server of docs/c.md" gcc $options "$OUT/documentation.c" \
        -o "$OUT/documentation" "$LIBRARY/libwsengine.a" $STATIC_LIBRARIES
    check "build: the examples" make -B -s -C examples/c LIBRARY="$LIBRARY/libwsengine.so"
}

# All of them, as many at once as there are processors.
programs_run() {
    local run
    for run in "${runs[@]}"; do
        while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
        run_program $run &
    done
    wait
    for run in "${runs[@]}"; do count_program $run; done
}

# run_program VARIANT PROGRAM COMMAND...
run_program() {
    local log="$OUT/$1.$2.log"
    shift 2
    "$@" >"$log" 2>&1 </dev/null
    echo "exit status $?" >>"$log"
}

count_program() {
    local name="$1 $2" log="$OUT/$1.$2.log" line failures=$failed
    while read -r line; do
        case $line in
            "ok "*) ok "$name: ${line#ok }" ;;
            "FAILED "*) failed "$name: ${line#FAILED }" ;;
        esac
    done <"$log"
    [ "$(tail -n 1 "$log")" = "exit status 0" ] && return
    [ "$failed" -gt "$failures" ] || failed "$name: $(tail -n 1 "$log")"
    grep -v '^ok ' "$log" | head -n 60 | sed 's/^/    /'
}

# check NAME COMMAND...: the command succeeds; what it prints is shown only if it does not.
check() {
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then
        ok "$name"
    else
        failed "$name"
        sed 's/^/    /' <<<"$output"
    fi
}

ok() {
    passed=$((passed + 1))
    echo "ok $*"
}

failed() {
    failed=$((failed + 1))
    echo "FAILED $*"
}

die() {
    echo "C tests: $*" >&2
    exit 1
}

main "$@"
