#!/usr/bin/env python3
"""Records what PyTorch computes, for tests/test_parity.cpp to compare with.

  tests/torch_fixture.py                         remakes the two small fixtures that are committed
  tests/torch_fixture.py --full OUT.safetensors [--steps 100 --batch 32 --data DIR]
      the whole ResNet-18 (CIFAR stem): compare with  RT_PARITY_FIXTURE=OUT.safetensors rt_tests -tc='parity*'

A fixture holds initial weights, batches, the first step's logits, gradients and running statistics, the loss of every
SGD step (also at another thread count: how far PyTorch is from itself), and the final weights of a short run.
"""
import argparse, copy, json, os, sys

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tools"))
from torch_resnet18 import ResNet18


def train(model, images, labels, o):
    decay = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": decay}, {"params": plain, "weight_decay": o["weight_decay"] if o["decay_all"] else 0.0}]
    opt = torch.optim.SGD(groups, lr=o["lr"], momentum=o["momentum"], weight_decay=o["weight_decay"],
                          nesterov=o["nesterov"])
    out = {"losses": []}
    model.train()
    for t in range(len(images)):
        opt.zero_grad()
        logits = model(images[t])
        loss = F.cross_entropy(logits, labels[t], label_smoothing=o["smoothing"])
        loss.backward()
        if t == 0:
            out["logits"] = logits.detach().clone()
            for n, p in model.named_parameters():
                out["grad." + n] = p.grad.clone()
            for n, b in model.named_buffers():
                if "running" in n:
                    out["stats." + n] = b.clone()
        if o["clip_norm"]:
            torch.nn.utils.clip_grad_norm_(model.parameters(), o["clip_norm"])
        opt.step()
        out["losses"].append(loss.item())
    return out


def gradient_noise(model, images, labels, o):
    """How far PyTorch's f32 gradients are from PyTorch's: the worst parameter, channels_last against contiguous. A ReLU
    whose input is within rounding of zero passes its gradient or does not, so large networks have much of this."""
    grads = []
    for fmt in (torch.contiguous_format, torch.channels_last):
        m = copy.deepcopy(model).to(memory_format=fmt).train()
        F.cross_entropy(m(images.contiguous(memory_format=fmt)), labels, label_smoothing=o["smoothing"]).backward()
        grads.append([p.grad.clone() for p in m.parameters()])
    return max(((a - b).norm() / a.norm()).item() for a, b in zip(*grads))


def record(path, o, images, labels, keep_final):
    torch.manual_seed(1)
    model = ResNet18(o["stem"], o["classes"], o["width"])
    with torch.no_grad():  # away from the special values of a fresh network
        for n, p in model.named_parameters():
            if p.dim() == 1:
                p.add_(torch.randn_like(p) * 0.1)
    o = o | {"gradient_noise": gradient_noise(model, images[0], labels[0], o)}
    tensors = {"model." + n: t.clone() for n, t in model.state_dict().items() if "num_batches" not in n}
    other = copy.deepcopy(model)
    torch.set_num_threads(2)
    first = train(model, images, labels, o)
    torch.set_num_threads(1)
    again = train(other, images, labels, o)
    tensors |= {k: v for k, v in first.items() if k != "losses"}
    tensors["losses"] = torch.tensor(first["losses"], dtype=torch.float64)
    tensors["losses_other_threads"] = torch.tensor(again["losses"], dtype=torch.float64)
    if keep_final:
        tensors |= {"final." + n: t.clone() for n, t in model.state_dict().items() if "num_batches" not in n}
    tensors["images"], tensors["labels"] = images, labels.to(torch.int32)
    save_file({k: v.contiguous() for k, v in tensors.items()}, path,
              {"format": "pt", "options": json.dumps(o), "torch": torch.__version__})
    print(f"{path}: {os.path.getsize(path) / 2**20:.2f} MiB, "
          f"losses {first['losses'][0]:.6f} ... {first['losses'][-1]:.6f}")


def random_batches(steps, batch, side, classes, seed):
    g = torch.Generator().manual_seed(seed)
    # a little structure, so that there is something to learn: the class shifts the colours
    labels = torch.randint(classes, (steps, batch), generator=g)
    images = torch.randn(steps, batch, 3, side, side, generator=g)
    images += torch.sin(labels[:, :, None] * torch.tensor([1.0, 2.0, 3.0]))[:, :, :, None, None]
    return images, labels


def cifar_batches(folder, steps, batch):
    files = [os.path.join(folder, f) for f in sorted(os.listdir(folder)) if f.startswith("data_batch_")]
    raw = np.concatenate([np.fromfile(f, np.uint8).reshape(-1, 3073) for f in files])
    order = np.random.default_rng(0).permutation(len(raw))[: steps * batch]
    assert len(order) == steps * batch, "the data set is too small for so many steps"
    pixels = torch.from_numpy(raw[order, 1:].reshape(steps, batch, 3, 32, 32).astype(np.float32) / 255)
    return (pixels - 0.5) / 0.25, torch.from_numpy(raw[order, 0].reshape(steps, batch).astype(np.int64))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--full", metavar="OUT")
    p.add_argument("--steps", type=int, default=100)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--data", help="folder with data_batch_1.bin (default: random images)")
    p.add_argument("--lr", type=float, default=0.0005)
    a = p.parse_args()
    base = {"arch": "resnet18", "classes": 10, "momentum": 0.9, "weight_decay": 5e-4, "smoothing": 0.1,
            "clip_norm": 0.0}
    if a.full:
        o = base | {"stem": "cifar", "width": 64, "lr": a.lr, "nesterov": False, "decay_all": True}
        data = cifar_batches(a.data, a.steps, a.batch) if a.data else random_batches(a.steps, a.batch, 32, 10, 0)
        record(a.full, o, *data, keep_final=False)
        return
    folder = os.path.join(ROOT, "tests", "fixtures")
    o = base | {"stem": "cifar", "width": 4, "lr": 0.005, "nesterov": True, "decay_all": False}
    record(os.path.join(folder, "torch_cifar.safetensors"), o, *random_batches(10, 6, 32, 10, 2), keep_final=True)
    o = base | {"stem": "imagenet", "width": 4, "lr": 0.005, "nesterov": False, "decay_all": True, "clip_norm": 1.0}
    record(os.path.join(folder, "torch_imagenet.safetensors"), o, *random_batches(10, 3, 48, 10, 3), keep_final=True)


if __name__ == "__main__":
    main()
