#!/usr/bin/env bash
# Everything that needs a GPU, unattended: build, the whole test suite on the device, compute-sanitizer, benchmarks beside
# PyTorch, each optimisation on and off. Writes gpu.json, gpu.md, a log per part and results.tar.gz (all of these) to a folder.
#   tools/gpu_check.sh [OUT_FOLDER [PART...]]
#     parts: build test step ablate accuracy ops step-more sanitize report (all, in this order; the most telling first)
# Needs nvcc, CMake, ninja and cuDNN (toolkit, system or Python package); the comparisons need python3 with torch. What fails is
# reported and the rest runs on; the exit code is the number of parts in which something failed. May run for an hour; parts
# can be run in several calls, `report` last.
# RTRAIN_PREFIX names a folder with the header-only libraries, where they are not installed. RTRAIN_PYTHON: another python3.
# RTRAIN_GPU_CHECK_SECONDS bounds each part (default 1500).
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-build/gpu-check}
shift || true
parts=("$@")
[ ${#parts[@]} -eq 0 ] && parts=(build test step ablate accuracy ops step-more sanitize report)
mkdir -p "$out"
out=$(cd "$out" && pwd)
limit=${RTRAIN_GPU_CHECK_SECONDS:-1500}
python=${RTRAIN_PYTHON:-python3}
PATH=$PATH:/usr/local/cuda/bin
sm=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -1 | tr -d '. ')
sm=${sm:-90}
preset=cuda
[ "$sm" -lt 75 ] && preset=pascal
build=build/$preset
precisions="f32 f16 bf16"  # that this card computes in at full rate
[ "$sm" -lt 80 ] && precisions="f32 f16"
[ "$sm" -lt 70 ] && precisions="f32"
half=${precisions##* }
failed=0
try() { "$@" || failed=1; }  # goes on: what comes after has its own worth

part_build() {
  cmake --preset $preset -DRTRAIN_CUDA_ARCHS="$sm" -DRTRAIN_PYTHON="$(command -v "$python")" \
    ${RTRAIN_PREFIX:+-DCMAKE_PREFIX_PATH="$RTRAIN_PREFIX"} &&
    cmake --build $build -j "$(nproc)" --target rtrain rbench rt_tests_gpu && $build/rtrain info && $build/rtrain doctor
}
part_test() {  # the suite on the device, with its own rows and with those of compute capability 6.1
  try $build/tests/rt_tests_gpu
  try env RT_FORCE_SM=61 $build/tests/rt_tests_gpu --test-case='cuda*'
  try $build/rtrain gradcheck
  try "$python" tests/check_resume.py $build/rtrain --kills 3 --device cuda
}
compare() {  # stem batch precision steps variants
  "$python" tools/compare_torch.py --device cuda --rbench $build/rbench --stem "$1" --batch "$2" --precision "$3" --steps "$4" \
    --rounds 1 --repeat 5 --variants "${5//,/ $3,} $3" --json "$out/step-$1-$2-$3.json"
}
part_step() {  # about ten minutes, most of it torch.compile
  try compare cifar 512 "$half" 20 eager,channels_last,compile,reduce-overhead
  try compare cifar 16 "$half" 20 eager,channels_last,reduce-overhead
  try compare imagenet 128 "$half" 5 channels_last,compile
}
part_step-more() {
  local batch precision
  for precision in $precisions; do
    for batch in 16 128 512 1024; do
      [ -f "$out/step-cifar-$batch-$precision.json" ] || try compare cifar $batch "$precision" 20 eager,channels_last,compile,reduce-overhead
    done
    [ -f "$out/step-imagenet-128-$precision.json" ] || try compare imagenet 128 "$precision" 5 channels_last,compile,reduce-overhead
  done
}
part_ops() {
  local stem precision
  for stem in cifar imagenet; do
    for precision in $precisions; do
      try eval "$build/rbench ops --device cuda --precision $precision --stem $stem --batch 256 --json >'$out/ops-$stem-$precision.json'"
    done
  done
}
part_ablate() {  # each optimisation together with those before it, alone, and left out
  local batch unfused
  : >"$out/fusion.jsonl"
  for unfused in "" conv2d.stats; do  # f16 alone has convolutions that sum their output for batch norm
    [[ " $precisions " == *" f16 "* ]] && try eval "$build/rbench step --device cuda --precision f16 --batch 512 --repeat 5 \
      --steps 20 --json optimize.unfused=$unfused | sed 's/^{/{\"unfused\": \"$unfused\", /' >>'$out/fusion.jsonl'"
  done
  for batch in 16 512; do
    try eval "$build/rbench ablate --device cuda --batch $batch --rounds 1 --repeat 5 --steps 20 --json >'$out/ablate-$batch.json'"
  done
}
part_accuracy() {  # the same short training in each precision, over three seeds
  local data=$out/synthetic seed precision
  [ -f "$data/data_batch_1.bin" ] || $build/rtrain synth --out "$data" --train 10000 --test 2000 || return 1
  : >"$out/accuracy.jsonl"
  for seed in 0 1 2; do
    for precision in $precisions; do
      rm -rf "$out/run"
      $build/rtrain train "$data" device=cuda precision="$precision" run.seed=$seed run.dir="$out/run" train.epochs=6 \
        augment.enabled=false train.batch=64 >/dev/null 2>"$out/accuracy-$precision-$seed.log" &&
        $build/rtrain eval "$out/run" --json |
        sed "s/^{/{\"precision\": \"$precision\", \"seed\": $seed, /" >>"$out/accuracy.jsonl" || failed=1
    done
  done
}
part_sanitize() {
  local tool
  command -v compute-sanitizer >/dev/null || { echo "compute-sanitizer is not installed"; failed=1; return; }
  for tool in memcheck synccheck racecheck initcheck; do
    echo "== $tool"
    try timeout 300 compute-sanitizer --tool $tool --error-exitcode 9 --print-limit 20 $build/tests/rt_tests_gpu \
      --test-case='cuda step: once warm*,cuda: batch*,cuda: max*,cross_entropy*,update*,augment*'
  done
}
part_report() { "$python" tools/gpu_report.py "$out"; }

failures=0
for part in "${parts[@]}"; do
  start=$SECONDS
  echo "== $part"
  # In a shell of its own, so that it can be stopped as a whole.
  timeout "$limit" bash -c "$(declare -f try compare "part_$part"; declare -p out build python sm preset precisions half); failed=0
    part_$part || failed=1; exit \$failed" >"$out/$part.log" 2>&1
  code=$?
  word=ok
  [ $code -ne 0 ] && word="FAILED ($code)" && failures=$((failures + 1)) && tail -n 15 "$out/$part.log"
  sed -i "/^$part /d" "$out/parts.txt" 2>/dev/null
  echo "$part $word $((SECONDS - start)) s" | tee -a "$out/parts.txt"
  [ "$part" = build ] && [ $code -ne 0 ] && break
done
(cd "$out" && tar czf results.tar.gz --ignore-failed-read -- *.json *.jsonl *.md *.log parts.txt 2>/dev/null)
exit $failures
