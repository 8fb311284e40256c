#!/usr/bin/env bash
# Do the tests of the CUDA kernels, and of products in tiles (AMX), notice a mistake? Plants one fault after another in
# a copy of the sources, builds the tests and runs those that should fail. Prints a line per fault; the exit code is the
# number of faults that went unnoticed.
#   tests/planted_faults.sh [BUILD_FOLDER]      a folder for the copy and its build (default build/planted)
set -uo pipefail
cd "$(dirname "$0")/.."
work=${1:-build/planted}
rm -rf "$work/source"
mkdir -p "$work/source"
git ls-files -z | xargs -0 cp --parents -t "$work/source"
cmake -S "$work/source" -B "$work/build" -G Ninja ${RTRAIN_LAUNCHER:+-DCMAKE_CXX_COMPILER_LAUNCHER=$RTRAIN_LAUNCHER} \
  -DCMAKE_BUILD_TYPE=Release -DRTRAIN_WERROR=OFF -DRTRAIN_CUDA=OFF >/dev/null || exit 99
build() { cmake --build "$work/build" --target rt_tests >"$work/build.log" 2>&1; }
# Cases of src/kernels/cases by name, or other tests: what the fault must make fail.
passes() {
  if [[ $1 == test:* ]]; then "$work/build/tests/rt_tests" --test-case="${1#test:}" >"$work/test.log" 2>&1
  else RT_TEST_OP=$1 "$work/build/tests/rt_tests" --test-case='cuda_rows: every row*' >"$work/test.log" 2>&1; fi
}
build || { tail -n 20 "$work/build.log"; exit 99; }
unnoticed=0
while IFS=$'\t' read -r what test file from to; do
  [ -n "$what" ] || continue
  target=$(find "$work/source/src/kernels" -name "$file")
  cp "$target" "$work/original"
  if ! python3 - "$target" "$from" "$to" <<'PY'; then
import sys
path, old, new = sys.argv[1:]
text = open(path).read()
if old not in text:
    sys.exit(1)
open(path, "w").write(text.replace(old, new, 1))
PY
    echo "$what: the line to change is not in $file"
    unnoticed=$((unnoticed + 1))
    continue
  fi
  if ! build; then echo "$what: does not compile"; unnoticed=$((unnoticed + 1))
  elif passes "$test"; then echo "$what: NOT NOTICED by $test"; unnoticed=$((unnoticed + 1))
  else echo "$what: caught by $test"; fi
  cp "$work/original" "$target"
done <tests/planted_faults.txt
exit $unnoticed
