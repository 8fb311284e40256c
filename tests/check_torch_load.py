#!/usr/bin/env python3
"""A model that rtrain trained, in PyTorch: load_state_dict(strict=True), and the same loss on the test images.

  tests/check_torch_load.py RTRAIN      skipped (exit code 77) where torch or safetensors is not installed
"""
import json, os, subprocess, sys, tempfile

try:
    import numpy as np
    import torch
    import torch.nn.functional as F
    from safetensors import safe_open
    from safetensors.torch import load_file
except ImportError as e:
    print(f"skipped: {e} (tools/make_venv.sh installs it)")
    sys.exit(77)

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tools"))
from torch_resnet18 import ResNet18

rtrain = sys.argv[1]
with tempfile.TemporaryDirectory() as folder:
    data, run = os.path.join(folder, "data"), os.path.join(folder, "run")
    quiet = {"check": True, "stderr": subprocess.DEVNULL}
    subprocess.run([rtrain, "synth", "--out", data, "--train", "64", "--test", "100"], **quiet)
    subprocess.run([rtrain, "train", data, f"run.dir={run}", "train.epochs=1", "train.batch=16", "optimizer.lr=0.01"],
                   **quiet)
    path = os.path.join(run, "last.safetensors")
    model = ResNet18("cifar", 10)
    model.load_state_dict(load_file(path), strict=True)
    meta = safe_open(path, "pt").metadata()
    assert model.bn1.num_batches_tracked.item() == 4, model.bn1.num_batches_tracked

    raw = np.fromfile(os.path.join(data, "test_batch.bin"), np.uint8).reshape(-1, 3073)
    mean, std = (torch.tensor(json.loads(meta[k])).view(1, 3, 1, 1) for k in ("mean", "std"))
    images = (torch.from_numpy(raw[:, 1:].reshape(-1, 3, 32, 32).astype(np.float32) / 255) - mean) / std
    labels = torch.from_numpy(raw[:, 0].astype(np.int64))
    with torch.no_grad():
        logits = model.eval()(images)
    loss, top1 = F.cross_entropy(logits, labels).item(), (logits.argmax(1) == labels).float().mean().item()
    evaluation = subprocess.run([rtrain, "eval", path, f"data.dir={data}", "--json"], capture_output=True, text=True,
                                check=True)
    ours = json.loads(evaluation.stdout)
    print(f"torch {torch.__version__}: loss {loss:.6f}, top-1 {top1:.3f}; "
          f"rtrain: loss {ours['loss']:.6f}, top-1 {ours['top1']:.3f}")
    assert abs(ours["loss"] - loss) < 1e-4 * loss and abs(ours["top1"] - top1) < 0.011
