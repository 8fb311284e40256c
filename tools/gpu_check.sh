#!/usr/bin/env bash
# Everything that needs a GPU, unattended: build, the whole test suite on the device, compute-sanitizer, benchmarks beside
# PyTorch, each optimisation on and off. Writes gpu.json, gpu.md and a log per part to a folder.
#   tools/gpu_check.sh [OUT_FOLDER [PART...]]      parts: build test sanitize ops step ablate accuracy report (all, in this order)
# Needs nvcc, CMake, ninja and cuDNN (toolkit, system or Python package); the comparisons need python3 with torch. A part
# that fails is reported and the next one runs; the exit code is the number of parts that failed.
# RTRAIN_PREFIX names a folder with the header-only libraries, where they are not installed. RTRAIN_GPU_CHECK_SECONDS bounds
# each part (default 1500).
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-build/gpu-check}
shift || true
parts=("$@")
[ ${#parts[@]} -eq 0 ] && parts=(build test sanitize ops step ablate accuracy report)
mkdir -p "$out"
out=$(cd "$out" && pwd)
limit=${RTRAIN_GPU_CHECK_SECONDS:-1500}
python=${RTRAIN_PYTHON:-python3}
build=build/cuda
sm=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -1 | tr -d '. ')
preset=cuda
[ "${sm:-90}" -lt 75 ] && preset=pascal && build=build/pascal

part_build() {
  cmake --preset $preset -DRTRAIN_CUDA_ARCHS="${sm:-90}" -DRTRAIN_PYTHON="$(command -v "$python")" \
    ${RTRAIN_PREFIX:+-DCMAKE_PREFIX_PATH="$RTRAIN_PREFIX"} && cmake --build $build -j "$(nproc)" &&
    $build/rtrain info && $build/rtrain doctor
}
part_test() {  # the suite on the device, with its own rows and with those of compute capability 6.1
  $build/tests/rt_tests_gpu && RT_FORCE_SM=61 $build/tests/rt_tests_gpu --test-case='cuda*' &&
    $build/rtrain gradcheck | tail -3 &&
    $python tests/check_resume.py $build/rtrain --kills 3 --device cuda
}
part_sanitize() {
  local failed=0
  command -v compute-sanitizer >/dev/null || { echo "compute-sanitizer is not installed: skipped"; return 0; }
  for tool in memcheck racecheck initcheck synccheck; do
    echo "== $tool"
    compute-sanitizer --tool $tool --error-exitcode 9 --print-limit 20 $build/tests/rt_tests_gpu \
      --test-case='cuda step: once warm*,cuda: every row*' || failed=1
  done
  return $failed
}
part_ops() {
  for stem in cifar imagenet; do
    for precision in f32 bf16 f16; do
      $build/rbench ops --device cuda --precision $precision --stem $stem --batch 256 --json \
        >"$out/ops-$stem-$precision.json" || return 1
    done
  done
}
compare() {  # stem batch precision steps variants
  $python tools/compare_torch.py --device cuda --rbench $build/rbench --stem "$1" --batch "$2" --precision "$3" --steps "$4" \
    --rounds 2 --repeat 5 --variants "$5" --json "$out/step-$1-$2-$3.json"
}
part_step() {
  local failed=0 batch
  for precision in bf16 f16; do
    for batch in 16 128 512 1024; do
      compare cifar $batch $precision 20 eager,channels_last,compile,reduce-overhead || failed=1
    done
    compare imagenet 256 $precision 5 channels_last,compile,reduce-overhead || failed=1
  done
  compare cifar 512 f32 10 channels_last,compile || failed=1
  return $failed
}
part_ablate() {  # one thing off at a time, and everything on
  local batch name settings
  for batch in 16 512; do
    while read -r name settings; do
      # shellcheck disable=SC2086
      $build/rbench step --device cuda --batch $batch --repeat 5 --steps 20 --json --precision $settings |
        sed "s/^{/{\"name\": \"$name\", /" || return 1
    done <<'LIST'
all-bf16 bf16
all-f16 f16
all-f32 f32
no-graph bf16 optimize.graph=false
no-resident bf16 optimize.resident=false
no-fuse bf16 optimize.fuse=false
no-layout bf16 optimize.layout=false
no-memory bf16 optimize.memory=false
no-plan bf16 optimize.plan=false optimize.graph=false
LIST
  done >"$out/ablate.jsonl"
}
part_accuracy() {  # the same short training in each precision, over three seeds
  local data=$out/synthetic seed precision
  [ -f "$data/data_batch_1.bin" ] || $build/rtrain synth --out "$data" --train 10000 --test 2000 || return 1
  : >"$out/accuracy.jsonl"
  for seed in 0 1 2; do
    for precision in f32 bf16 f16; do
      rm -rf "$out/run"
      $build/rtrain train "$data" device=cuda precision=$precision run.seed=$seed run.dir="$out/run" train.epochs=6 \
        augment.enabled=false train.batch=64 >/dev/null 2>"$out/accuracy-$precision-$seed.log" || return 1
      $build/rtrain eval "$out/run" --json | sed "s/^{/{\"precision\": \"$precision\", \"seed\": $seed, /" >>"$out/accuracy.jsonl"
    done
  done
}
part_report() { $python tools/gpu_report.py "$out"; }

failed=0
for part in "${parts[@]}"; do
  start=$SECONDS
  echo "== $part"
  export -f "part_$part" compare
  export out build python sm preset
  if timeout "$limit" bash -uo pipefail -c "part_$part" >"$out/$part.log" 2>&1; then word=ok; else word="FAILED ($?)"; failed=$((failed + 1)); fi
  echo "$part $word $((SECONDS - start)) s" | tee -a "$out/parts.txt"
  [ "$word" = ok ] || tail -n 15 "$out/$part.log"
  [ "$part" = build ] && [ "$word" != ok ] && break
done
exit $failed
