#!/usr/bin/env python3
"""Times rtrain's training step beside PyTorch's, alternating in one go, and prints the ratio.

  tools/compare_torch.py [--stem cifar --batch 128] [--stem imagenet --batch 32 ...] [--device cpu|cuda] [--precision f32|bf16|f16]
      [--rounds 3] [--threads T] [--variants eager,channels_last,compile,reduce-overhead] [--bf16] [--json FILE]

Run it with a Python that has torch (tools/make_venv.sh). Each round runs ours once and every variant of the peer once,
each in a process of its own; figures are medians over the rounds, and "best" is PyTorch's fastest variant.
"""
import argparse, json, os, platform, statistics, subprocess, sys, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VARIANTS = {"eager": [], "channels_last": ["--channels-last"], "compile": ["--channels-last", "--compile"],
            "reduce-overhead": ["--channels-last", "--compile", "reduce-overhead"]}


def last_json(command, env=None):
    run = subprocess.run(command, capture_output=True, text=True, env=env)
    if run.returncode != 0:
        return None, run.stderr.strip().splitlines()[-1:] or ["exit code %d" % run.returncode]
    return json.loads(run.stdout.strip().splitlines()[-1]), None


def load():
    return os.getloadavg()[0]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--stem", action="append", choices=("cifar", "imagenet"))
    p.add_argument("--batch", action="append", type=int)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--repeat", type=int, default=3)
    p.add_argument("--threads", type=int, default=0)
    p.add_argument("--variants", default="eager,channels_last")
    p.add_argument("--bf16", action="store_true", help="the peer under bf16 autocast")
    p.add_argument("--device", default="cpu", help="cpu or cuda, for both")
    p.add_argument("--precision", default="f32", choices=("f32", "bf16", "f16"), help="of both")
    p.add_argument("--steps", type=int, default=1, help="steps in one timed repeat")
    p.add_argument("--set", action="append", default=[], help="a setting for rbench, as optimize.graph=false")
    p.add_argument("--rbench", default=os.path.join(ROOT, "build", "release", "rbench"))
    p.add_argument("--json", metavar="FILE")
    a = p.parse_args()
    stems, batches = a.stem or ["cifar", "imagenet"], a.batch or []
    batches += [{"cifar": 128, "imagenet": 32}[s] for s in stems[len(batches):]]
    results, failed = [], False
    for stem, batch in zip(stems, batches):
        extra = (["--threads", str(a.threads)] if a.threads else []) + ["--device", a.device, "--steps", str(a.steps)]
        if a.device == "cuda" and a.precision == "f32":
            extra_torch = ["--matmul", "highest"]  # f32 without TF32, as ours
        else:
            extra_torch = []
        half = {"bf16": ["--bf16"], "f16": ["--fp16"]}.get(a.precision, ["--bf16"] if a.bf16 else [])
        commands = {"rtrain": [a.rbench, "step", "--stem", stem, "--batch", str(batch), "--repeat", str(a.repeat), "--json",
                               "--precision", a.precision] + extra + a.set}
        for v in a.variants.split(","):
            commands["torch " + v] = ([sys.executable, os.path.join(ROOT, "tools", "torch_resnet18.py"), "bench", "--stem", stem,
                                       "--batch", str(batch), "--repeat", str(a.repeat), "--warmup", "3"]
                                      + VARIANTS[v] + extra + extra_torch + half)
        runs = {name: [] for name in commands}
        started_at_load = load()
        for r in range(a.rounds):
            for name, command in commands.items():
                if r > 0 and not runs[name]:
                    continue  # it failed before
                figures, error = last_json(command)
                if error:
                    print(f"  {name}: {error[0]}", file=sys.stderr)
                    failed = True
                else:
                    runs[name].append(figures)
        print(f"\nResNet-18, {stem} stem, batch {batch}, {a.rounds} rounds, load before {started_at_load:.2f}")
        best = None
        for name, figures in runs.items():
            if not figures:
                continue
            rate = statistics.median(f["images_per_s"] for f in figures)
            row = {"name": name, "stem": stem, "batch": batch, "precision": a.precision, "device": a.device,
                   "images_per_s": rate,
                   "step_ms": statistics.median(f["step_ms"] for f in figures),
                   "step_ms_min": min(f["step_ms_min"] for f in figures), "step_ms_max": max(f["step_ms_max"] for f in figures),
                   "peak_mib": statistics.median(f["peak_mib"] for f in figures), "version": figures[0].get("peer", "rtrain"),
                   "threads": figures[0].get("threads", 0), "planned_mib": figures[0].get("planned_mib")}
            results.append(row)
            if name != "rtrain" and (best is None or rate > best["images_per_s"]):
                best = row
            print(f"  {name:<20} {rate:8.1f} images/s  {row['step_ms']:9.1f} ms ({row['step_ms_min']:.1f} to {row['step_ms_max']:.1f})"
                  f"  peak {row['peak_mib']:7.0f} MiB  {row['version']}")
        ours = next((x for x in results if x["name"] == "rtrain" and x["stem"] == stem and x["batch"] == batch), None)
        if ours and best:
            ours["ratio"] = ours["images_per_s"] / best["images_per_s"]
            ours["memory_ratio"] = ours["peak_mib"] / best["peak_mib"]
            print(f"  rtrain is {ours['ratio']:.2f}x {best['name']} in speed, {ours['memory_ratio']:.2f}x in peak memory")
    if a.json:
        cpu = next((l.split(": ")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), platform.processor())
        commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
        with open(a.json, "w") as f:
            json.dump({"cpu": cpu, "commit": commit, "date": time.strftime("%Y-%m-%d"), "results": results}, f, indent=1)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
