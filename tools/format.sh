#!/usr/bin/env bash
# Formats every source file; with --check, only says whether something would change.
set -euo pipefail
cd "$(dirname "$0")/.."
mode=(-i)
[ "${1:-}" = --check ] && mode=(--dry-run --Werror)
git ls-files -z -- '*.cpp' '*.hpp' '*.cu' '*.cuh' | xargs -0 clang-format "${mode[@]}"
