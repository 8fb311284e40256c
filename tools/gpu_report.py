#!/usr/bin/env python3
"""Puts what tools/gpu_check.sh measured into one JSON and one Markdown file.   tools/gpu_report.py FOLDER"""
import glob, json, os, statistics, subprocess, sys


def lines(path):
    return [json.loads(x) for x in open(path) if x.strip().startswith("{")] if os.path.exists(path) else []


def whole(path):
    """A JSON file, or nothing where a part that was stopped left half of it."""
    try:
        return json.load(open(path))
    except ValueError:
        return None


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
              "step": [], "ops": {}, "ablate": [],
              "accuracy": lines(os.path.join(folder, "accuracy.jsonl")), "fusion": lines(os.path.join(folder, "fusion.jsonl"))}
    text = [f"# {gpu or 'no GPU'}", "", "| part | result |", "|---|---|"] + [f"| {n} | {w} |" for n, w in parts]

    for path in sorted(glob.glob(os.path.join(folder, "step-*.json"))):
        result["step"] += json.load(open(path))["cases"]
    if result["step"]:
        text += ["", "## Training step", "", "| stem | batch | precision | what | images/s | ms (min to max) | peak MiB | planned MiB |",
                 "|---|---|---|---|---|---|---|---|"]
    for case in result["step"]:
        for r in case["rows"]:
            over = "over_best_" + r["precision"]
            text.append(f"| {case['stem']} | {case['batch']} | {r['precision']} | {r['name']}"
                        + (f" (**{r[over]:.2f}x**, memory {r['memory_' + over]:.2f}x)" if over in r else "")
                        + f" | {r['images_per_s']:.0f} | {r['step_ms']:.2f} ({r['step_ms_min']:.2f} to {r['step_ms_max']:.2f})"
                        + f" | {r['peak_mib']:.0f} | {r['planned_mib'] or 0:.0f} |")
    for path in sorted(glob.glob(os.path.join(folder, "ablate-*.json"))):
        ablation = whole(path)
        if not ablation:
            continue
        result["ablate"].append(ablation)
        text += ["", f"## What each optimisation is worth, batch {ablation['batch']}", "",
                 "| group | what | ms | images/s | speed | peak MiB |", "|---|---|---|---|---|---|"]
        text += [f"| {r['group']} | {r['name']} | " + (f"failed: {r['failed']} | | | |" if "failed" in r else
                 f"{r['step_ms']:.3f} | {r['images_per_s']:.0f} | {r['speed']:.2f}x | {r['peak_mib']:.0f} |")
                 for r in ablation["rows"]]
    if result["fusion"]:
        text += ["", "## Statistics summed by convolutions, f16, batch 512", ""]
        text += [f"* {'left out' if r['unfused'] else 'where timed faster'}: {r['step_ms']:.3f} ms ({r['step_ms_min']:.3f} to "
                 f"{r['step_ms_max']:.3f})" for r in result["fusion"]]
    if result["accuracy"]:
        text += ["", "## Accuracy on the synthetic set", "", "| precision | top-1 by seed | mean |", "|---|---|---|"]
        for p in ("f32", "bf16", "f16"):
            top1 = [100 * r["top1"] for r in result["accuracy"] if r["precision"] == p]
            if top1:
                text.append(f"| {p} | {', '.join('%.2f' % x for x in top1)} | {statistics.mean(top1):.2f} |")
    for path in sorted(glob.glob(os.path.join(folder, "ops-*.json"))):
        name = os.path.basename(path)[4:-5]
        ops = whole(path)
        if not ops:
            continue
        result["ops"][name] = ops
        text += ["", f"## Steps, {name}, batch {ops['batch']}", "", "| step | layer | x | row | shape | ms | TFLOP/s | GB/s | % of measured peak |",
                 "|---|---|---|---|---|---|---|---|---|"]
        for r in sorted(ops["steps"], key=lambda r: -r["ms"] * r["count"]):
            percent = max((r["percent_of_flops_peak"], "flops"), (r["percent_of_memory_peak"], "memory"))
            text.append(f"| {r['kind']} | {r['layer']} | {r['count']} | {r['row']} | {r['shape']} | {r['ms']:.4f} | {r['gflops'] / 1e3:.1f} "
                        f"| {r['gbps']:.0f} | {percent[0]:.0f} ({percent[1]}) |")
    json.dump(result, open(os.path.join(folder, "gpu.json"), "w"), indent=1)
    open(os.path.join(folder, "gpu.md"), "w").write("\n".join(text) + "\n")
    print("\n".join(text[:80]))


if __name__ == "__main__":
    main()
