#!/usr/bin/env python3
"""The same training step in PyTorch: the peer that this project is measured and checked against.

Needs only `torch` (no torchvision). ResNet-18 is written out here with torchvision's parameter names,
so a state_dict is interchangeable with torchvision's.

  torch_resnet18.py bench  --stem cifar --batch 128 [--bf16] [--channels-last] [--compile] [--device cpu]
  torch_resnet18.py forward-cost --stem imagenet      multiply-accumulates per image, and parameters

`bench` prints one JSON line: the median and spread of the step time, images/s, peak memory.
"""
import argparse, json, os, resource, statistics, sys, time

import torch
import torch.nn as nn
import torch.nn.functional as F


class BasicBlock(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.downsample = None
        if stride != 1 or cin != cout:
            self.downsample = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x):
        skip = x if self.downsample is None else self.downsample(x)
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + skip)


class ResNet18(nn.Module):
    """stem 'imagenet': 7x7/2 conv + 3x3/2 max-pool (11,689,512 parameters at 1000 classes);
    stem 'cifar': 3x3/1 conv, no pool (11,173,962 parameters at 10 classes)."""

    def __init__(self, stem, classes, width=64):
        super().__init__()
        big = stem == "imagenet"
        self.conv1 = nn.Conv2d(3, width, 7 if big else 3, 2 if big else 1, 3 if big else 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if big else nn.Identity()
        cin = width
        for i, cout in enumerate((width, 2 * width, 4 * width, 8 * width), 1):
            stride = 1 if i == 1 else 2
            setattr(self, f"layer{i}", nn.Sequential(BasicBlock(cin, cout, stride), BasicBlock(cout, cout, 1)))
            cin = cout
        self.fc = nn.Linear(8 * width, classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x):
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        for i in range(1, 5):
            x = getattr(self, f"layer{i}")(x)
        return self.fc(x.mean((2, 3)))


def forward_cost(args):
    side = 224 if args.stem == "imagenet" else 32
    model = ResNet18(args.stem, args.classes)
    macs = 0

    def hook(m, i, o):
        nonlocal macs
        if isinstance(m, nn.Conv2d):
            macs += o.numel() * m.in_channels * m.kernel_size[0] * m.kernel_size[1]
        elif isinstance(m, nn.Linear):
            macs += o.numel() * m.in_features

    for m in model.modules():
        m.register_forward_hook(hook)
    model(torch.randn(1, 3, side, side))
    print(json.dumps({"stem": args.stem, "parameters": sum(p.numel() for p in model.parameters()),
                      "forward_macs": macs}))


def bench(args):
    if args.threads:
        torch.set_num_threads(args.threads)
    dev = torch.device(args.device)
    side = args.side or (224 if args.stem == "imagenet" else 32)
    torch.manual_seed(0)
    if dev.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision(args.matmul)
        torch.backends.cudnn.allow_tf32 = args.matmul != "highest"
    model = ResNet18(args.stem, args.classes).to(dev)
    x = torch.randn(args.batch, 3, side, side, device=dev)
    y = torch.randint(args.classes, (args.batch,), device=dev)
    if args.channels_last:
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    opt = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    amp = torch.float16 if args.fp16 else torch.bfloat16 if args.bf16 else None
    # bf16/fp16 here is autocast; fp16 with a fixed loss scale, the cheapest form of it
    scale = 1024.0 if args.fp16 else 1.0
    run = model
    if args.compile:
        run = torch.compile(model, mode=args.compile)

    def step():
        opt.zero_grad(set_to_none=True)
        with torch.autocast(dev.type, dtype=amp or torch.bfloat16, enabled=amp is not None):
            loss = F.cross_entropy(run(x), y, label_smoothing=0.1)
        (loss * scale).backward()
        if scale != 1:
            torch._foreach_mul_([p.grad for p in model.parameters()], 1 / scale)
        opt.step()
        return loss

    def sync():
        if dev.type == "cuda":
            torch.cuda.synchronize()

    for _ in range(args.warmup):
        step()
    sync()
    if dev.type == "cuda":
        torch.cuda.reset_peak_memory_stats()  # what trying out algorithms took does not count
    times = []
    for _ in range(args.repeat):
        t = time.perf_counter()
        for _ in range(args.steps):
            loss = step()
        sync()
        times.append((time.perf_counter() - t) / args.steps)
    med = statistics.median(times)
    peak = (torch.cuda.max_memory_allocated() if dev.type == "cuda"
            else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    print(json.dumps({
        "peer": f"torch {torch.__version__}", "device": torch.cuda.get_device_name() if dev.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(), "stem": args.stem, "side": side, "batch": args.batch,
        "dtype": "fp16" if args.fp16 else "bf16" if args.bf16 else "fp32", "channels_last": args.channels_last,
        "compile": args.compile, "step_ms": round(med * 1e3, 3), "step_ms_min": round(min(times) * 1e3, 3),
        "step_ms_max": round(max(times) * 1e3, 3), "images_per_s": round(args.batch / med, 2),
        "peak_mib": round(peak / 2**20, 1), "loss": round(loss.item(), 4)}), flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = p.add_subparsers(required=True)
    for name, fn in (("bench", bench), ("forward-cost", forward_cost)):
        q = sub.add_parser(name)
        q.set_defaults(fn=fn)
        q.add_argument("--stem", choices=("cifar", "imagenet"), default="cifar")
        q.add_argument("--classes", type=int, default=10)
        if fn is bench:
            q.add_argument("--batch", type=int, default=128)
            q.add_argument("--side", type=int, default=0, help="image side in pixels (default: 32 or 224)")
            q.add_argument("--device", default="cpu")
            q.add_argument("--threads", type=int, default=0)
            q.add_argument("--bf16", action="store_true")
            q.add_argument("--fp16", action="store_true")
            q.add_argument("--channels-last", action="store_true")
            q.add_argument("--compile", nargs="?", const="default", default=None,
                           help="torch.compile, with an optional mode")
            q.add_argument("--matmul", default="high", choices=("highest", "high", "medium"))
            q.add_argument("--warmup", type=int, default=3)
            q.add_argument("--steps", type=int, default=3, help="steps in one timed repeat")
            q.add_argument("--repeat", type=int, default=5)
    args = p.parse_args()
    args.fn(args)


if __name__ == "__main__":
    main()
