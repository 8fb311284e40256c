#!/usr/bin/env bash
# Makes .venv with what comparisons need: PyTorch, safetensors, NumPy (some gigabytes). The build does without.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/install_deps.sh python3-venv
python3 -m venv .venv
.venv/bin/pip install --quiet --upgrade pip
.venv/bin/pip install torch safetensors numpy
.venv/bin/python -c 'import torch; print("PyTorch", torch.__version__, "in .venv")'
