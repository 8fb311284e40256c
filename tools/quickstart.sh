#!/usr/bin/env bash
# From a fresh clone to a trained ResNet-18: installs what is missing, builds, draws a synthetic data set (ten classes
# of shapes; a linear classifier gets about 20 % of it right), trains the whole network on it and evaluates the result.
# A few minutes on two cores. Data and runs go to folders inside the clone: data/synthetic and runs/.
set -euo pipefail
cd "$(dirname "$0")/.."
start=$SECONDS
say() { printf '\n== %s (%d s)\n' "$*" $((SECONDS - start)) >&2; }

say "1/4 build"
tools/install_deps.sh
preset=release  # with a GPU and a toolkit the same program also computes there
if nvidia-smi >/dev/null 2>&1 && { command -v nvcc || [ -x /usr/local/cuda/bin/nvcc ]; } >/dev/null; then
  preset=cuda
fi
if ! cmake --preset $preset -DRTRAIN_TESTS=OFF >/dev/null; then
  [ $preset = cuda ] || exit 1
  say "no build for the GPU here (see above): going on with the CPU"
  preset=release
  cmake --preset $preset -DRTRAIN_TESTS=OFF >/dev/null
fi
cmake --build build/$preset >&2
rtrain=build/$preset/rtrain
"$rtrain" info >&2

say "2/4 data"
[ -f data/synthetic/data_batch_1.bin ] || "$rtrain" synth --out data/synthetic --train 5000 --test 1000

say "3/4 training: 3 epochs of 5,000 images"
"$rtrain" train data/synthetic -c configs/quickstart.toml "$@"

say "4/4 evaluation"
"$rtrain" eval runs/latest
say "done. The run is in $(readlink -f runs/latest): metrics.csv, config.toml, best.safetensors (PyTorch can load it)"
