#!/usr/bin/env bash
# The engine's tests for a sanitizer: sanitized.sh address|thread. ThreadSanitizer runs those in which threads meet; each
# takes a minute to build.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/sanitizers/common.sh

SANITIZER=${1:?address or thread?}
FOLDER=$PWD/target/sanitized-engine-$SANITIZER
TESTS=(--package wsengine --package wsengine-proto --lib --tests)
flags=
if [ "$SANITIZER" = thread ]; then
    TESTS=(--package wsengine --lib)
    for test in concurrency topics wakeups slow_host stop handshake_events slow_consumer compression close tls push backplane; do
        TESTS+=(--test "$test")
    done
    mkdir -p "$FOLDER"
    wrap_std "$FOLDER/tsan_std.o"
    flags=-Clink-arg=$FOLDER/tsan_std.o
    for wrap in "${wraps[@]}"; do flags+=" -Clink-arg=$wrap"; done
fi
export ASAN_OPTIONS=detect_leaks=0
# The C tests wait more than they compute, and build in half the time without; these compute.
export CARGO_PROFILE_DEV_OPT_LEVEL=2
sanitized_cargo "$SANITIZER" "$FOLDER" "$flags" test --no-fail-fast "${TESTS[@]}"
