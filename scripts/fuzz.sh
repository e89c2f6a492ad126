#!/usr/bin/env bash
# Runs the fuzz targets: fuzz.sh SECONDS [TARGET...], each for so long, as many at once as there are processors.
#
#   fuzz/seeds/TARGET           inputs made by hand, which come first
#   fuzz/corpus/TARGET.tar.xz   what was found to reach more; so do these. With KEEP=1 it is made anew afterwards
#   target/fuzz/corpus          where inputs are collected
#   target/fuzz/found           inputs that fail; each becomes a test with a name
#
# The switches are rustc's for its nightly versions; libFuzzer is built from a crate, AddressSanitizer comes with rustup.
set -euo pipefail
cd "$(dirname "$0")/.."

SECONDS_EACH=${1:?how many seconds for each target?}
shift
TARGETS=("$@")
[ $# -gt 0 ] || mapfile -t TARGETS < <(sed -n 's/^    ("\([a-z0-9]*\)", .*/\1/p' fuzz/src/targets/mod.rs)
WORK=$PWD/target/fuzz
HOST=$(rustc -vV | sed -n 's/^host: //p')

build() {
    RUSTC_BOOTSTRAP=1 RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares \
-Zsanitizer=address -Cunsafe-allow-abi-mismatch=sanitizer" \
        cargo build --quiet --release --locked --manifest-path fuzz/Cargo.toml --target "$HOST" --target-dir "$WORK/build"
}

run() {
    local target=$1
    shift
    FUZZ_TARGET=$target ASAN_OPTIONS=detect_leaks=0 "$WORK/build/$HOST/release/wsengine-fuzz" -max_len=8192 "$@"
}

# fuzz TARGET: prints one line.
fuzz() {
    local target=$1 log=$WORK/$1.log status=0 corpus=$WORK/corpus/$1
    mkdir -p "$corpus" "$WORK/found"
    [ ! -e "fuzz/corpus/$target.tar.xz" ] || tar -xf "fuzz/corpus/$target.tar.xz" -C "$corpus"
    run "$target" -max_total_time="$SECONDS_EACH" -timeout=20 -rss_limit_mb=4096 -print_final_stats=1 \
        -artifact_prefix="$WORK/found/$target-" "$corpus" "fuzz/seeds/$target" >"$log" 2>&1 || status=$?
    if [ "$status" = 0 ]; then
        echo "ok $target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs," \
            "$(grep -oE 'cov: [0-9]+' "$log" | tail -n1 | cut -d' ' -f2) places reached"
    else
        echo "FAILED $target, see $log and $WORK/found"
        grep -vE '^#[0-9]+	|^ +#[0-9]+ ' "$log" | tail -n 40 | sed 's/^/    /'
    fi
}

# Keeps the smallest set of inputs that reaches as much.
keep() {
    local target=$1 merged=$WORK/merged
    rm -rf "$merged"
    mkdir -p "$merged" fuzz/corpus
    run "$target" -merge=1 "$merged" "fuzz/seeds/$target" "$WORK/corpus/$target" >>"$WORK/$target.log" 2>&1
    tar -cf - -C "$merged" --sort=name --mtime=@0 --owner=0 --group=0 . | xz -9e >"fuzz/corpus/$target.tar.xz"
}

build
results=$(
    for target in "${TARGETS[@]}"; do
        while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
        fuzz "$target" &
    done
    wait
)
echo "$results"
if [ -n "${KEEP:-}" ]; then
    for target in "${TARGETS[@]}"; do keep "$target"; done
fi
passed=$(grep -c '^ok ' <<<"$results" || true)
failed=$((${#TARGETS[@]} - passed))
echo "fuzz: $passed passed, $failed failed"
[ "$failed" = 0 ]
