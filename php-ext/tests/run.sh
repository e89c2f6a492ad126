#!/bin/sh
# Runs the tests of the PHP extension: .phpt files by PHP's own run-tests.php, the rest by PHPUnit, each with the
# built extension. Prints the counts, and fails when anything fails or cannot run.
#   PHP_EXTENSION   the extension (default: the release build of this tree)
#   PHP             the PHP to test with (default: php)
#   VALGRIND        if set, the .phpt files only, and under valgrind: neither errors nor lost memory
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
extension=${PHP_EXTENSION:-$root/target/release/libwsengine_php.so}
php=$(command -v "${PHP:-php}")
[ -f "$extension" ] || { echo "no $extension: run cargo build --release -p wsengine-php" >&2; exit 1; }
phpunit=$(command -v phpunit) || { echo 'phpunit is missing: apt-get install phpunit' >&2; exit 1; }
run_tests=$("$(command -v "${PHP_CONFIG:-php-config}")" --prefix)/lib/php
run_tests=$(ls "$run_tests"/*/build/run-tests.php 2>/dev/null | tail -n 1)
[ -n "$run_tests" ] || { echo 'run-tests.php is missing: apt-get install php-dev' >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

echo "== phpt"
# run-tests.php writes beside the tests.
cp -r "$here/phpt" "$here/support" "$work"
# Not what is "possibly lost": Rust points into the middle of what it shares, such as a thread's own handle.
export VALGRIND_OPTS="--leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite"
NO_INTERACTION=1 TEST_PHP_EXECUTABLE="$php" TEST_PHP_ARGS="-q" \
    "$php" -n "$run_tests" -d extension="$extension" ${VALGRIND:+-m --show-mem} -q --no-color --show-diff \
    "$work/phpt" > "$work/phpt.log" 2>&1 || failed=1
grep -E '^(FAIL|SKIP|BORK|LEAK|[+-][^+-])|^[0-9]{3}[+-]' "$work/phpt.log" || true
grep -E '^Tests (passed|failed|skipped|warned) ' "$work/phpt.log" || { cat "$work/phpt.log"; failed=1; }
grep -qE '^Tests skipped +: +0 ' "$work/phpt.log" || failed=1
if [ -n "${VALGRIND:-}" ]; then
    grep -E '^==[0-9]' "$work/phpt.log" | cut -c 1-160 || true
    exit $failed
fi

echo "== phpunit"
# A directory of settings, unlike -d, reaches every PHP that the tests start.
echo "extension=$extension" > "$work/wsengine.ini"
export PHP_INI_SCAN_DIR=":$work"
{ "$php" "$phpunit" -c "$here/phpunit.xml" "$@" || touch "$work/failed"; } 2>&1 | tee "$work/phpunit.log"
# A PHP built for debugging reports what was never freed, in these tests and in what they fork.
! grep -q 'memory leaks detected' "$work/phpunit.log" || failed=1
[ ! -e "$work/failed" ] || failed=1
exit $failed
