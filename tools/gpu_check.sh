#!/usr/bin/env bash
# Everything that needs a GPU, unattended: build, the whole test suite on the device, compute-sanitizer, benchmarks
# beside PyTorch, each optimisation on and off. Writes gpu.json, gpu.md, a log per part and results.tar.gz (all of
# these) to a folder.
#   tools/gpu_check.sh [OUT_FOLDER [PART...]]
#     parts, the most telling first (the default is all, in this order): build step step-small test ablate-512 accuracy
#       step-large ablate-16 ops-cifar ops-imagenet step-f32 step-f16 step-bf16 memcheck synccheck racecheck
#       initcheck report
# Needs nvcc, CMake, ninja and cuDNN (toolkit, system or Python package); the comparisons need python3 with torch. What
# fails is reported and the rest runs on; the exit code is the number of parts in which something failed.
# It can take hours, and can be had in several calls with the same OUT_FOLDER, each of at most ten minutes (the first
# one builds):
#   RTRAIN_GPU_CHECK_TOTAL=590 tools/gpu_check.sh OUT_FOLDER build step
#   RTRAIN_GPU_CHECK_TOTAL=590 tools/gpu_check.sh OUT_FOLDER step step-small test
#   …                                          what parts.txt names as FAILED (124) or left out; `report` last
# Such a call goes on per case: what was measured from the same sources (commit, $RTRAIN_COMMIT or a hash) stays as it
# is, and a case stopped midway starts over, as does the part test as a whole. Another folder measures everything anew.
# RTRAIN_PREBUILT=1: the programs were built elsewhere and lie in build/cuda, below 7.5 build/pascal (rtrain, rbench,
# tests/rt_tests_gpu and tests/CTestTestfile.cmake, whose paths are made to fit); the part build only says what they run
# on.
# RTRAIN_PREFIX names a folder with the header-only libraries, where they are not installed. RTRAIN_PYTHON: another
# python3. RTRAIN_GPU_CHECK_SECONDS bounds each part (default 540), RTRAIN_GPU_CHECK_TOTAL the whole call (default: no
# limit). A part for which no time is left is left out; that alone does not count as failing.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-build/gpu-check}
shift || true
all=(build step step-small test ablate-512 accuracy step-large ablate-16 ops-cifar ops-imagenet
  step-f32 step-f16 step-bf16 memcheck synccheck racecheck initcheck report)
parts=("$@")
[ ${#parts[@]} -eq 0 ] && parts=("${all[@]}")
mkdir -p "$out/scratch"
out=$(cd "$out" && pwd)
export XDG_CACHE_HOME=$out/scratch/cache  # choices of this card and build, nobody else's
limit=${RTRAIN_GPU_CHECK_SECONDS:-540}
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
prebuilt=${RTRAIN_PREBUILT:-}
export RT_SOURCES=$PWD  # for tests that were built elsewhere
sources=$("$python" tools/gpu_machine.py --commit)
failed=0
try() { "$@" || failed=1; }  # goes on: what comes after has its own worth

fit_paths() {  # to this folder, of what was built in another one
  local file=$build/tests/CTestTestfile.cmake from
  from=$(sed -n 's|^# Source directory: \(.*\)/tests$|\1|p' "$file") && [ -n "$from" ] || return 1
  [ "$from" = "$PWD" ] || sed -i "s|$from\([/\"]\)|$PWD\1|g" "$file"
}
part_build() {  # warnings of compilers that nobody has tried are no reason to stop
  if [ "$prebuilt" = 1 ]; then
    try fit_paths
  else
    cmake --preset $preset -DRTRAIN_CUDA_ARCHS="$sm" -DRTRAIN_PYTHON="$(command -v "$python")" \
      ${RTRAIN_PREFIX:+-DCMAKE_PREFIX_PATH="$RTRAIN_PREFIX"} &&
      cmake --build $build -j "$(nproc)" --target rtrain rbench || return 1
  fi
  try "$python" tools/gpu_machine.py $build/rtrain "$out/machine.json"
  try $build/rtrain info
  try $build/rtrain doctor
  # Last: the measurements do without.
  [ "$prebuilt" = 1 ] || try cmake --build $build -j "$(nproc)" --target rt_tests_gpu
}
suite() {  # regular expression of ctest: a process per file, so that an error that sticks to the device ends with it
  ctest --test-dir $build/tests -V --no-tests=error "$@"
}
part_test() {  # the suite on the device, with its own rows and with those of compute capability 6.1
  try suite -R '^gpu_(cuda|cudnn|cross|doctor)'
  try env RT_FORCE_SM=61 ctest --test-dir $build/tests -V -R '^gpu_(cuda|cross)'
  try $build/rtrain gradcheck
  try "$python" tests/check_resume.py $build/rtrain --kills 3 --device cuda
  try suite -R '^gpu_' -E '^gpu_(cuda|cudnn|cross|doctor)'
}
record() {  # FILE KEY ROW: adds the row, without those of its key and of other sources
  grep -F "\"sources\": \"$sources\"" "$1" 2>/dev/null | grep -vF "$2" >"$1.part"
  echo "{\"sources\": \"$sources\", ${3#\{}" >>"$1.part" && mv "$1.part" "$1"
}
recorded() {  # FILE KEY: whether it has such a row, from these sources
  grep -F "\"sources\": \"$sources\"" "$1" 2>/dev/null | grep -F "$2" >/dev/null
}
figures() {  # FILE COMMAND...: what rbench says as JSON, unless the file is there, from these sources
  "$python" tools/gpu_report.py --complete "$1" && return
  "${@:2}" | sed "s/^{/{\"sources\": \"$sources\", /" >"$1.part" && mv "$1.part" "$1"
}
compare() {  # stem batch precision steps variants
  local name=$1-$2-$3 variants="${5//,/ $3,} $3" code=0
  local file=$out/step-$name.json
  local own=($build/rbench step --device cuda --stem "$1" --batch "$2" --precision "$3" --steps "$4" --repeat 5 --json)
  if ! "$python" tools/gpu_report.py --complete "$file" "$variants"; then
    rm -f "$file.part"
    "$python" tools/compare_torch.py --device cuda --rbench $build/rbench \
      --stem "$1" --batch "$2" --precision "$3" --steps "$4" --rounds 1 --repeat 5 --patience 5 \
      --variants "$variants" --json "$file.part" || code=1
    [ -s "$file.part" ] && mv "$file.part" "$file"
    if [ $code = 1 ]; then  # no torch: ours alone, and nothing old beside it
      "$python" tools/gpu_report.py --complete "$file" || rm -f "$file"
      figures "$out/ours-$name.json" "${own[@]}"
    fi
  fi
  # PyTorch takes whatever algorithm is fastest; ours once more with that freedom.
  figures "$out/any-order-$name.json" "${own[@]}" optimize.deterministic=false || code=1
  return $code
}
usual=eager,channels_last,compile,reduce-overhead
part_step() {  # most of it is torch.compile
  try compare cifar 512 "$half" 20 $usual
  try compare imagenet 128 "$half" 5 $usual
}
part_step-small() {
  try compare cifar 16 "$half" 20 $usual
  try compare imagenet 16 "$half" 10 $usual
  try compare cifar 128 "$half" 20 $usual
}
part_step-large() {
  try compare cifar 1024 "$half" 10 $usual
  try compare imagenet 512 "$half" 3 $usual
}
matrix() {  # precision
  local batch
  [[ " $precisions " == *" $1 "* ]] || { echo "this card does not compute in $1"; return; }
  for batch in 512 16 128 1024; do try compare cifar $batch "$1" 20 $usual; done
  for batch in 128 16 512; do try compare imagenet $batch "$1" 3 $usual; done
}
part_step-f32() { matrix f32; }
part_step-f16() { matrix f16; }
part_step-bf16() { matrix bf16; }
ops() {  # stem
  local precision
  for precision in $precisions; do
    try figures "$out/ops-$1-$precision.json" \
      $build/rbench ops --device cuda --precision "$precision" --stem "$1" --batch 256 --json
  done
}
part_ops-cifar() { ops cifar; }
part_ops-imagenet() { ops imagenet; }
ablate() {  # batch: each optimisation together with those before it, alone, and left out
  try figures "$out/ablate-$1.json" \
    $build/rbench ablate --device cuda --batch "$1" --rounds 1 --repeat 5 --steps 20 --json
}
part_ablate-16() { ablate 16; }
part_ablate-512() {
  local unfused key row
  # In f16, which alone has convolutions that sum their output for batch norm.
  for unfused in "" cross_entropy conv2d.stats sgd "convert.all batch_norm.update_running.all"; do
    key="\"unfused\": \"$unfused\","
    [[ " $precisions " != *" f16 "* ]] || recorded "$out/fusion.jsonl" "$key" && continue
    row=$($build/rbench step --device cuda --precision f16 --batch 512 --repeat 5 --steps 20 --json \
      "optimize.unfused=$unfused") &&
      record "$out/fusion.jsonl" "$key" "$key ${row#\{}" || failed=1
  done
  ablate 512
}
part_accuracy() {  # the same short training in each precision, over three seeds
  local data=$out/scratch/synthetic run=$out/scratch/run seed precision key row
  if [ ! -d "$data" ]; then
    rm -rf "$data.part"
    $build/rtrain synth --out "$data.part" --train 10000 --test 2000 && mv "$data.part" "$data" || return 1
  fi
  for seed in 0 1 2; do
    for precision in $precisions; do
      key="\"precision\": \"$precision\", \"seed\": $seed,"
      recorded "$out/accuracy.jsonl" "$key" && continue
      rm -rf "$run"
      $build/rtrain train "$data" device=cuda precision="$precision" run.seed=$seed run.dir="$run" train.epochs=6 \
        augment.enabled=false train.batch=64 >/dev/null 2>"$out/accuracy-$precision-$seed.log" &&
        cp "$run/metrics.jsonl" "$out/curve-$precision-$seed.jsonl" &&
        row=$($build/rtrain eval "$run" --json) && record "$out/accuracy.jsonl" "$key" "$key ${row#\{}" || failed=1
    done
  done
}
sanitize() {  # tool
  # Our kernels family by family, since a tool slows them down; a whole step, with the libraries' kernels, under
  # memcheck alone.
  local op result code first=1 said=$out/scratch/sanitize.log
  local families="batch_norm bn_relu bn_add_relu relu add max_pool global_avg_pool linear cross_entropy layout augment
    sgd loss_scale report"
  [ "$1" = memcheck ] && families="$families step"
  for op in $families; do
    if recorded "$out/sanitize-$1.jsonl" "\"op\": \"$op\", \"result\": \"clean\""; then
      echo "== $1 $op: clean, in an earlier call"
      first=0
      continue
    fi
    local case='cuda_rows: every row*'
    [ "$op" = step ] && case='cuda_step: once warm*'
    # In this part's process group (--foreground), so that the part's own limit reaches it too.
    RT_TEST_OP=$op timeout --foreground -k 5 200 compute-sanitizer --tool "$1" --error-exitcode 9 --print-limit 20 \
      $build/tests/rt_tests_gpu --test-case="$case" >"$said" 2>&1
    code=$?
    result=clean
    if [ $code = 124 ] || [ $code = 137 ]; then
      result='timed out' failed=1
      pkill -KILL -g 0 -x rt_tests_gpu 2>/dev/null  # of this part alone: the tool may have left it behind
    elif ! grep -q 'SUMMARY' "$said"; then  # at the first: not installed, or not allowed to watch this process
      result=unavailable
      [ $first = 1 ] || failed=1
    elif [ $code != 0 ]; then result=errors failed=1
    fi
    echo "== $1 $op: $result ($code)"
    tail -n 40 "$said"
    record "$out/sanitize-$1.jsonl" "\"op\": \"$op\"," "\"tool\": \"$1\", \"op\": \"$op\", \"result\": \"$result\"}"
    [ $first = 1 ] && [ "$result" = unavailable ] && break
    first=0
  done
}
part_memcheck() { sanitize memcheck; }
part_synccheck() { sanitize synccheck; }
part_racecheck() { sanitize racecheck; }
part_initcheck() { sanitize initcheck; }
part_report() { "$python" tools/gpu_report.py "$out"; }

pack() {
  (shopt -s nullglob && cd "$out" && files=(*.json *.jsonl *.md *.log parts.txt) && [ ${#files[@]} -gt 0 ] &&
    tar czf scratch/results.tar.gz --ignore-failed-read -- "${files[@]}" 2>/dev/null
    [ -s scratch/results.tar.gz ] && mv scratch/results.tar.gz results.tar.gz)
}
reserve=20  # seconds of the whole call: a part that does not stop when told, the report, the archive
total=${RTRAIN_GPU_CHECK_TOTAL:-}
failures=0 built=1 running=
trap pack EXIT
trap '[ -z "$running" ] || kill "$running" 2>/dev/null; exit 130' INT TERM
for part in "${parts[@]}"; do
  declare -f "part_$part" >/dev/null || { echo "there is no part $part; there are ${all[*]}" >&2; exit 2; }
  [ $built = 1 ] || [ "$part" = report ] || continue
  seconds=$limit
  if [ -n "$total" ]; then
    left=$((total - SECONDS - reserve))
    if [ "$part" = report ]; then
      [ $left -ge 5 ] || left=5
    elif [ $left -lt 30 ]; then
      echo "$part left out, no time"
      grep -qs "^$part " "$out/parts.txt" || echo "$part left out, no time" >>"$out/parts.txt"
      continue
    fi
    [ $left -lt "$seconds" ] && seconds=$left
  fi
  start=$SECONDS
  echo "== $part"
  # In a process group of its own, so that it can be stopped as a whole, and leaves nothing to run beside the next part.
  timeout -k 10 "$seconds" bash -c "set -o pipefail; $(declare -f)
    $(declare -p out build python sm preset precisions half usual sources prebuilt)
    failed=0
    part_$part || failed=1; exit \$failed" >"$out/$part.log" 2>&1 </dev/null &
  running=$!
  wait $running
  code=$?
  kill -KILL -- -$running 2>/dev/null
  word=ok
  [ $code -ne 0 ] && word="FAILED ($code)" && failures=$((failures + 1)) && tail -n 15 "$out/$part.log"
  [ $code -eq 0 ] && grep -qs "unavailable" "$out/sanitize-$part.jsonl" && word=unavailable
  sed -i "/^$part /d" "$out/parts.txt" 2>/dev/null
  echo "$part $word $((SECONDS - start)) s" | tee -a "$out/parts.txt"
  [ "$part" = build ] && [ $code -ne 0 ] && [ ! -x $build/rbench ] && built=0
  pack
done
exit $failures
