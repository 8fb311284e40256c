#!/usr/bin/env bash
# Builds for 64-bit Arm (NEON) with a cross compiler and runs the tests of everything that computes in qemu's user mode.
#   tools/arm_test.sh [DOCTEST_ARGUMENT...]     e.g. -tc='*winograd*'; with arguments, exactly the tests they select
# Installs Debian's cross compiler and qemu where they are missing; where that cannot be, says so and ends with 77.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/install_deps.sh
if ! tools/install_deps.sh g++-aarch64-linux-gnu qemu-user-static; then
  echo "skipped: 64-bit Arm, for want of g++-aarch64-linux-gnu and qemu-user-static" >&2
  exit 77
fi
launcher=()
if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
cmake --preset aarch64 "${launcher[@]}" >/dev/null
cmake --build --preset aarch64 --target rtrain rt_tests
export QEMU_LD_PREFIX=/usr/aarch64-linux-gnu  # not -L: a program that starts itself anew has no options of qemu's
run=(qemu-aarch64-static)
"${run[@]}" build/aarch64/rtrain info

# What reads files and keys is the same on every machine, and the emulated CUDA device adds nothing about Arm.
files=("*test_"{rng,check,device,probe,half,kind,step,tape,rewrite,state,elementwise,pool,passes,layers,ops}.cpp
       "*test_"{conv2d,batch_norm,plan,executor,parity}.cpp)
left_out=(                       # minutes each in qemu
  '*every shape of ResNet-18*'    # one of them, and odd shapes, remain
  '*that all threads share*'
  '*slightly wrong*'              # checks the checks
)
list() { local IFS=,; echo "$*"; }
[ $# -gt 0 ] || set -- --source-file="$(list "${files[@]}")" --test-case-exclude="$(list "${left_out[@]}")"
"${run[@]}" build/aarch64/tests/rt_tests --no-intro "$@"
