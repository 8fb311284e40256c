#!/usr/bin/env python3
"""Puts what tools/gpu_check.sh measured into one JSON and one Markdown file.   tools/gpu_report.py FOLDER"""
import glob, json, os, statistics, subprocess, sys


def lines(path):
    return [json.loads(x) for x in open(path) if x.strip().startswith("{")] if os.path.exists(path) else []


def output(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""


def main():
    folder = sys.argv[1]
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    gpu = output("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")
    done = os.path.join(folder, "parts.txt")
    parts = [x.split(" ", 1) for x in open(done).read().splitlines()] if os.path.exists(done) else []
    result = {"gpu": gpu, "commit": output("git", "-C", root, "rev-parse", "--short", "HEAD"), "parts": dict(parts),
              "step": [], "ops": {}, "ablate": lines(os.path.join(folder, "ablate.jsonl")),
              "accuracy": lines(os.path.join(folder, "accuracy.jsonl"))}
    text = [f"# {gpu or 'no GPU'}", "", "| part | result |", "|---|---|"] + [f"| {n} | {w} |" for n, w in parts]

    for path in sorted(glob.glob(os.path.join(folder, "step-*.json"))):
        result["step"] += json.load(open(path))["results"]
    if result["step"]:
        text += ["", "## Training step", "", "| stem | batch | precision | what | images/s | ms (min to max) | peak MiB | planned MiB |",
                 "|---|---|---|---|---|---|---|---|"]
        for r in result["step"]:
            text.append(f"| {r['stem']} | {r['batch']} | {r['precision']} | {r['name']}"
                        + (f" (**{r['ratio']:.2f}x**, memory {r['memory_ratio']:.2f}x)" if "ratio" in r else "")
                        + f" | {r['images_per_s']:.0f} | {r['step_ms']:.2f} ({r['step_ms_min']:.2f} to {r['step_ms_max']:.2f})"
                        + f" | {r['peak_mib']:.0f} | {r['planned_mib'] or 0:.0f} |")
    if result["ablate"]:
        text += ["", "## One optimisation off at a time", "", "| batch | what | ms | images/s | peak MiB |", "|---|---|---|---|---|"]
        text += [f"| {r['batch']} | {r['name']} | {r['step_ms']:.3f} | {r['images_per_s']:.0f} | {r['peak_mib']:.0f} |"
                 for r in result["ablate"]]
    if result["accuracy"]:
        text += ["", "## Accuracy on the synthetic set", "", "| precision | top-1 by seed | mean |", "|---|---|---|"]
        for p in ("f32", "bf16", "f16"):
            top1 = [100 * r["top1"] for r in result["accuracy"] if r["precision"] == p]
            if top1:
                text.append(f"| {p} | {', '.join('%.2f' % x for x in top1)} | {statistics.mean(top1):.2f} |")
    for path in sorted(glob.glob(os.path.join(folder, "ops-*.json"))):
        name = os.path.basename(path)[4:-5]
        try:
            rows = json.load(open(path))
        except ValueError:
            continue
        result["ops"][name] = rows
        text += ["", f"## Steps, {name}, batch 256", "", "| step | row | shape | ms | rate | % of measured peak |", "|---|---|---|---|---|---|"]
        for r in sorted(rows, key=lambda r: -r["ms"]):
            rate = f"{r['gflops'] / 1e3:.1f} TFLOP/s" if r["gflops"] else f"{r['gbps']:.0f} GB/s"
            text.append(f"| {r['kind']} | {r['row']} | {r['shape']} | {r['ms']:.4f} | {rate} | {r['percent_of_peak']:.0f} |")
    json.dump(result, open(os.path.join(folder, "gpu.json"), "w"), indent=1)
    open(os.path.join(folder, "gpu.md"), "w").write("\n".join(text) + "\n")
    print("\n".join(text[:80]))


if __name__ == "__main__":
    main()
