#!/usr/bin/env python3
"""What a linear classifier on raw pixels gets on a folder of CIFAR-10 binary files.

Softmax regression by SGD with momentum and weight decay, numpy only. A data set on which this does well says little
about a convolutional network; the set that `rtrain synth` writes must keep it below 35 %.

  linear_baseline.py DIR [--train N] [--epochs E]      exit code 77 and a word if numpy is absent
"""
import argparse
import glob
import os
import sys

try:
    import numpy as np
except ImportError:
    print("skipped: linear_baseline.py needs numpy")
    sys.exit(77)


def read(paths):
    """Labels [N] and pixels [N, 3072] u8."""
    records = np.concatenate([np.fromfile(p, np.uint8).reshape(-1, 3073) for p in paths])
    return records[:, 0].astype(np.int64), records[:, 1:]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir")
    parser.add_argument("--train", type=int, help="use the first N training images (default: all)")
    parser.add_argument("--epochs", type=int, default=10)
    args = parser.parse_args()
    folder = args.dir
    if not glob.glob(os.path.join(folder, "data_batch_*.bin")):
        folder = os.path.join(folder, "cifar-10-batches-bin")
    train_files = sorted(glob.glob(os.path.join(folder, "data_batch_*.bin")))
    if not train_files or not os.path.exists(os.path.join(folder, "test_batch.bin")):
        sys.exit(f"linear_baseline.py: no data_batch_*.bin and test_batch.bin in {args.dir}")
    labels, pixels = read(train_files)
    labels, pixels = labels[: args.train], pixels[: args.train]
    test_labels, test_pixels = read([os.path.join(folder, "test_batch.bin")])

    mean = pixels.mean(axis=0, dtype=np.float64).astype(np.float32)

    def inputs(batch):
        return (batch.astype(np.float32) - mean) / 255

    rng = np.random.default_rng(0)
    weight, bias = np.zeros((3072, 10), np.float32), np.zeros(10, np.float32)
    velocity_w, velocity_b = np.zeros_like(weight), np.zeros_like(bias)
    steps_per_epoch = -(-len(labels) // 128)
    step, steps = 0, steps_per_epoch * args.epochs
    for _ in range(args.epochs):
        order = rng.permutation(len(labels))
        for at in range(0, len(labels), 128):
            chosen = order[at : at + 128]
            x, y = inputs(pixels[chosen]), labels[chosen]
            logits = x @ weight + bias
            p = np.exp(logits - logits.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
            p[np.arange(len(y)), y] -= 1  # the gradient of the loss with respect to the logits
            p /= len(y)
            velocity_w = 0.9 * velocity_w + x.T @ p + 1e-3 * weight
            velocity_b = 0.9 * velocity_b + p.sum(axis=0)
            lr = np.float32(0.003 * (1 - step / steps))
            weight -= lr * velocity_w
            bias -= lr * velocity_b
            step += 1

    right = sum(
        int(((inputs(test_pixels[at : at + 1000]) @ weight + bias).argmax(axis=1) == test_labels[at : at + 1000]).sum())
        for at in range(0, len(test_labels), 1000)
    )
    print(
        f"linear classifier on raw pixels: {100 * right / len(test_labels):.1f} % test accuracy "
        f"({len(labels)} training images, {len(test_labels)} test images)"
    )


if __name__ == "__main__":
    main()
