#!/usr/bin/env bash
# Compiles the CUDA kernels where there is no GPU to run them:
#  - every .cu file for compute capability 6.1 with CUDA 12.4 (tools/pascal_toolkit.sh fetches it): each object must
#    hold an sm_61 cubin, and no kernel may use more than 48 KB of static shared memory, which ptxas accepts
#    without a word;
#  - with CUDA 13, where it is installed: preset cuda linked with cuDNN and cuBLAS: the program, the benchmarks and the
#    tests for a GPU. For the lowest architecture, the lowest with rows of its own and the newest, since no source asks
#    which one it is compiled for. CHECK_ARCHS="75 80 86 89 90 100 120" names others.
#   tests/check_cuda_build.sh [TOOLKIT_FOLDER]       where 12.4 is or goes to; build/pascal-toolkit
# What cannot be had is skipped with a word.
set -euo pipefail
cd "$(dirname "$0")/.."
jobs=$(nproc)
most_shared=$((48 * 1024))

# check_object CUOBJDUMP OBJECT ARCHITECTURE...: lists its cubins and fails where one is missing or takes too much
check_object() {
  local cuobjdump=$1 object=$2 usage
  shift 2
  local have
  have=$("$cuobjdump" -lelf "$object" | sed -n 's/.*\(sm_[0-9]*\)\.cubin/\1/p' | sort -uV | tr '\n' ' ')
  usage=$("$cuobjdump" -res-usage "$object" 2>&1 | grep -o 'SHARED:[0-9]*' | cut -d: -f2 | sort -n | tail -1 || true)
  echo "  $(basename "$object"): ${have:-no cubin }largest static shared memory ${usage:-0} bytes"
  for arch in "$@"; do
    [[ " $have" == *" sm_$arch "* ]] || { echo "$object holds no cubin for sm_$arch" >&2; return 1; }
  done
  [ "${usage:-0}" -le $most_shared ] || {
    echo "$object: a kernel takes $usage bytes of static shared memory, $most_shared are safe" >&2
    return 1
  }
}

status=0 cuobjdump=
nvcc=$(tools/pascal_toolkit.sh "$@") || status=$?
if [ $status = 0 ]; then
  echo "compute capability 6.1 with $("$nvcc" --version | sed -n 's/.*release \([0-9.]*\).*/CUDA \1/p'):"
  out=build/check-sm61
  rm -rf $out && mkdir -p $out
  find src -name '*.cu' | xargs -P "$jobs" -I{} sh -c '"$0" -std=c++20 -gencode=arch=compute_61,code=sm_61 -Isrc \
    -DFMT_CONSTEVAL= -DFMT_USE_CONSTEXPR=1 -c {} -o '$out'/$(basename {}).o' "$nvcc"
  cuobjdump=$(dirname "$nvcc")/cuobjdump
  for object in $out/*.o; do check_object "$cuobjdump" "$object" 61; done
elif [ $status = 77 ]; then
  echo "skipped: compute capability 6.1"
else
  exit $status
fi

nvcc=${CUDACXX:-$(command -v nvcc || true)}
[ -n "$nvcc" ] || [ ! -x /usr/local/cuda/bin/nvcc ] || nvcc=/usr/local/cuda/bin/nvcc
if [ -z "$nvcc" ] || ! "$nvcc" --version | grep -q 'release 1[3-9]'; then
  echo "skipped: CUDA 13, which is not installed here"
  exit 0
fi
echo "architectures ${CHECK_ARCHS:-75 90 120} with $("$nvcc" --version | sed -n 's/.*release \([0-9.]*\).*/CUDA \1/p'):"
archs=()
for arch in ${CHECK_ARCHS:-75 90 120}; do
  if "$nvcc" --list-gpu-arch | grep -qx "compute_$arch"; then archs+=("$arch"); fi
done
list=$(IFS=';'; echo "${archs[*]}")
# Host code is only linked here: as the release build left it in the cache, else unoptimised.
host=(-DCMAKE_CXX_FLAGS_RELEASE=-O0)
if command -v ccache >/dev/null; then
  host=('-DCMAKE_CXX_FLAGS_RELEASE=-O3 -DNDEBUG'
    -DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_CUDA_COMPILER_LAUNCHER=ccache)
fi
log=build/check-cuda/build.log
mkdir -p build/check-cuda
# logged COMMAND...: what it says goes to the log alone, unless it fails
logged() {
  local code=0
  "$@" >$log 2>&1 || code=$?
  if [ $code != 0 ]; then tail -n 60 $log >&2; fi
  return $code
}
logged env CUDACXX="$nvcc" cmake --preset cuda -B build/check-cuda "-DRTRAIN_CUDA_ARCHS=$list" -DRTRAIN_WERROR=ON \
  "${host[@]}"
grep -E '^-- (cudnn|cublas|CUDA [0-9])' $log || true
logged cmake --build build/check-cuda -j "$jobs" --target rtrain rbench rt_tests_gpu
tail -n 1 $log
for own in "$(command -v cuobjdump || true)" "$(dirname "$nvcc")/cuobjdump"; do
  if [ -x "$own" ]; then cuobjdump=$own; fi  # else that of CUDA 12.4, which can list newer objects too
done
if [ -n "$cuobjdump" ]; then
  find build/check-cuda -name '*.cu.o' | sort | while read -r object; do
    check_object "$cuobjdump" "$object" "${archs[@]}"
  done
else
  echo "skipped: listing cubins, which needs cuobjdump"
fi
build/check-cuda/rtrain info | grep -E 'CUDA|GPU|device'
