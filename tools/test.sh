#!/usr/bin/env bash
# Installs what is missing, builds and runs every test.   tools/test.sh [PRESET [CTEST_ARGUMENT...]]
# Comparisons with Python packages run where they are installed (tools/make_venv.sh) and say so where they are skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}
shift || true
[ $# -gt 0 ] || set -- -j2
extra=()
case $preset in tsan | ci-clang) extra=(clang libomp-dev) ;; esac
tools/install_deps.sh "${extra[@]}"
cmake --preset "$preset" -DRTRAIN_TESTS=ON >/dev/null
cmake --build --preset "$preset"
ctest --preset "$preset" "$@"
