#!/usr/bin/env python3
"""Puts what tools/gpu_check.sh measured into one JSON and one Markdown file.

  tools/gpu_report.py FOLDER                        writes FOLDER/gpu.json and FOLDER/gpu.md from whatever is there
  tools/gpu_report.py --complete FILE ["NAME TYPE,…"]
                                             exit code 0 if FILE is whole, of this commit, with ours and those variants
"""
import glob, json, os, re, statistics, sys

from gpu_machine import commit

# Images/s of ResNet-18 in half precision on an H200: by arithmetic alone, and with two-pass batch norm's memory.
FLOORS = {"cifar": (237_000, 90_000), "imagenet": (74_000, 25_000)}
TYPES = ("f32", "bf16", "f16")
COMPILED = ("torch compile", "torch reduce-overhead")
ANY_ORDER = "rtrain, deterministic=false"


def whole(path):
    """A JSON file, or nothing where a part that was stopped left half of it, or none."""
    try:
        with open(path) as f:
            return json.load(f)
    except (ValueError, OSError):
        return None


def lines(path):
    """The whole lines of a file of JSON lines."""
    try:
        with open(path) as f:
            text = f.read().splitlines()
    except OSError:
        return []
    found = []
    for line in text:
        try:
            found.append(json.loads(line))
        except ValueError:
            pass
    return [x for x in found if isinstance(x, dict)]


class Folder:
    def __init__(self, path):
        self.path = path

    def file(self, name):
        return os.path.join(self.path, name)

    def each(self, pattern, read):
        """(what the * stands for, contents) of every file that has any."""
        start, end = pattern.split("*")
        for path in sorted(glob.glob(self.file(pattern))):
            contents = read(path)
            if contents:
                yield os.path.basename(path)[len(start):len(os.path.basename(path)) - len(end)], contents

    def log(self, name):
        try:
            with open(self.file(name), errors="replace") as f:
                return f.read()
        except OSError:
            return ""


def complete(path, variants=None):
    result = whole(path) or {}
    if result.get("sources", result.get("commit")) != commit():
        return False
    if variants is None:
        return True
    have = {(r["name"].removeprefix("torch "), r["precision"])
            for c in result.get("cases", []) for r in c["rows"] + c["left_out"]}
    # Where it is left out, it is measured again.
    ours = any(r["name"] == "rtrain" for c in result.get("cases", []) for r in c["rows"])
    wanted = {tuple(v.split(" ")) for v in variants.split(",")}
    return ours and wanted <= have


def step_cases(folder):
    """Those beside PyTorch, and ours alone where there was none to measure."""
    cases = []
    kinds = ("step", "ours", "any-order")
    found = {kind: dict(folder.each(kind + "-*.json", whole)) for kind in kinds}
    for name in sorted(set().union(*found.values())):
        stem, batch, precision = name.split("-")
        result, ours, free = (found[kind].get(name) for kind in kinds)
        none = {"stem": stem, "batch": int(batch), "rows": [], "left_out": []}
        case = next(iter((result or {}).get("cases", [])), none)
        if ours and not find(case, "rtrain"):
            case["rows"].append({**ours, "name": "rtrain", "precision": precision})
        if free:
            row = {**free, "name": ANY_ORDER, "precision": precision}
            if peers := [r["images_per_s"] for r in case["rows"] if r["name"].startswith("torch")]:
                row["over_best_" + precision] = row["images_per_s"] / max(peers)
            case["rows"].append(row)
        cases.append(case)
    return cases


def find(case, *names):
    """The fastest of the rows of these names, or nothing."""
    return max((r for r in case["rows"] if r["name"] in names), key=lambda r: r["images_per_s"], default=None)


def judged_steps(cases):
    for case in cases:
        ours = find(case, "rtrain")
        if not ours:
            continue
        where = f"{case['stem']} stem, batch {case['batch']}, {ours['precision']}"
        half = ours["precision"] != "f32"
        for peer, batch, wanted in ((find(case, *COMPILED), 512, 2), (find(case, "torch eager"), 16, 3)):
            if peer and half and case["batch"] == batch:
                ratio = ours["images_per_s"] / peer["images_per_s"]
                what = f"speed over PyTorch's {peer['name'][6:]}, {where}"
                yield what, f"{ratio:.2f}x", f"at least {wanted}x", ratio >= wanted
        if half:
            by_arithmetic, reachable = (100 * ours["images_per_s"] / x for x in FLOORS[case["stem"]])
            yield (f"share of an H200's floor, {where}",
                   f"{by_arithmetic:.0f} % of arithmetic, {reachable:.0f} % of what is reachable", "", None)
        if planned := ours.get("planned_mib"):
            off = 100 * (ours["peak_mib"] / planned - 1)
            yield f"memory used against planned, {where}", f"{off:+.1f} %", "within 5 %", abs(off) <= 5


def accuracy(folder):
    """By type: top-1 in percent and the last training loss, by seed."""
    found = {}
    for r in lines(folder.file("accuracy.jsonl")):
        trained = [e for e in lines(folder.file(f"curve-{r['precision']}-{r['seed']}.jsonl"))
                   if e.get("event") == "train"]
        found.setdefault(r["precision"], []).append({"seed": r["seed"], "top1": 100 * r["top1"],
                                                     "last_loss": trained[-1]["loss"] if trained else None})
    return found


def judged_accuracy(found):
    mean = {p: statistics.mean(r["top1"] for r in rows) for p, rows in found.items()}
    for p in ("bf16", "f16"):
        if p in mean and "f32" in mean:
            gap = mean["f32"] - mean[p]
            yield f"top-1 in {p} below f32", f"{gap:.2f} points", "at most 0.3", gap <= 0.3


def judged_sanitizers(found):
    for tool, rows in found.items():
        bad = [f"{r['op']} ({r['result']})" for r in rows if r["result"] != "clean"]
        if all(r["result"] == "unavailable" for r in rows):
            yield f"compute-sanitizer {tool}", "unavailable", "clean", None
        else:
            yield (f"compute-sanitizer {tool}", f"{len(rows) - len(bad)} of {len(rows)} families clean" +
                   (f"; not {', '.join(bad)}" if bad else ""), "clean", not bad)


def tests(log):
    """What the test programs of a log counted, and what ctest says of those that failed, crashed or took too long."""
    counts = re.findall(r"test cases:\s*(\d+) \|\s*(\d+) passed \|\s*(\d+) failed", log)
    said = re.findall(r"Test +#\d+: (\S+) [. ]*\*\*\*(Failed|Exception|Timeout|Not Run)", log)
    programs = [f"{name} {how.lower()}" for name, how in said]
    missing = sum(int(n) for n in re.findall(r"(\d+) tests? failed out of", log)) - len(programs)
    return {"cases": sum(int(c[0]) for c in counts), "passed": sum(int(c[1]) for c in counts),
            "failed": sum(int(c[2]) for c in counts), "programs": programs + ["another failed"] * max(0, missing)}


def judged_tests(counts, word):
    """Of the counts, and of what parts.txt says of the part, which does more than these programs."""
    ran = word and not word.startswith("left out")
    if ran or counts["cases"] or counts["programs"]:
        of_part = [] if (word or "").startswith("ok ") else [f"the part: {word or 'stopped'}"]
        ok = counts["cases"] > 0 and counts["failed"] == 0 and not counts["programs"] and not of_part
        yield ("test cases on the device", f"{counts['passed']} of {counts['cases']} passed" +
               "".join("; " + x for x in counts["programs"] + of_part), "all", ok)


def table(heads, rows):
    line = lambda cells: "| " + " | ".join(cells) + " |"
    return ["", line(heads), "|---" * len(heads) + "|"] + [line(row) for row in rows]


def step_rows(cases):
    for case in cases:
        for r in case["rows"]:
            over = "over_best_" + r["precision"]
            memory = f", memory {r['memory_' + over]:.2f}x" if "memory_" + over in r else ""
            ratio = f" (**{r[over]:.2f}x**{memory})" if over in r else ""
            yield (case["stem"], str(case["batch"]), r["precision"], r["name"] + ratio,
                   f"{r['images_per_s']:.0f}", f"{r['step_ms']:.2f} ({r['step_ms_min']:.2f} to {r['step_ms_max']:.2f})",
                   f"{r['peak_mib']:.0f}", f"{r.get('planned_mib') or 0:.0f}")
        for x in case["left_out"]:
            reason = f"{x['name']}: left out, {x['reason'][:100]}"
            yield case["stem"], str(case["batch"]), x["precision"], reason, "", "", "", ""


def ops_rows(ops):
    for r in sorted(ops["steps"], key=lambda r: -r["ms"] * r["count"]):
        percent, of = max((r["percent_of_flops_peak"], "flops"), (r["percent_of_memory_peak"], "memory"))
        yield (r["kind"], r["layer"], str(r["count"]), r["row"], r["shape"], f"{r['ms']:.4f}",
               f"{r['gflops'] / 1e3:.1f}", f"{r['gbps']:.0f}", f"{percent:.0f} ({of})")


def ablation_rows(ablation):
    for r in ablation["rows"]:
        yield (r["group"], r["name"], f"failed: {r['failed']}", "", "", "") if "failed" in r else (
            r["group"], r["name"], f"{r['step_ms']:.3f}", f"{r['images_per_s']:.0f}", f"{r['speed']:.2f}x",
            f"{r['peak_mib']:.0f}")


def report(folder):
    machine = whole(folder.file("machine.json")) or {"gpu": "", "commit": "unknown"}
    parts = [x.split(" ", 1) for x in folder.log("parts.txt").splitlines() if " " in x]
    cases, precise = step_cases(folder), accuracy(folder)
    sanitized = dict(folder.each("sanitize-*.jsonl", lines))
    counts = tests(folder.log("test.log"))
    judged = [dict(zip(("what", "value", "wanted", "ok"), x))
              for found in (judged_steps(cases), judged_accuracy(precise), judged_sanitizers(sanitized),
                            judged_tests(counts, dict(parts).get("test"))) for x in found]
    result = {"machine": machine, "parts": dict(parts), "judged": judged, "tests": counts, "step": cases,
              "accuracy": precise,
              "sanitizers": sanitized, "fusion": lines(folder.file("fusion.jsonl")),
              "ablate": [x for _, x in folder.each("ablate-*.json", whole)],
              "ops": dict(folder.each("ops-*.json", whole))}

    libraries = machine.get("info", {}).get("cuda", {})
    text = [f"# {machine['gpu'] or 'no GPU'}", "",
            f"Commit {machine['commit']}; {machine.get('nvcc') or 'no nvcc'}; cuDNN {libraries.get('cudnn', '?')}, "
            f"cuBLAS {libraries.get('cublas', '?')}; PyTorch {machine.get('torch') or 'none'}; "
            f"{machine.get('gcc') or 'no compiler'}."]
    text += table(("part", "result"), parts)
    if judged:
        word = {True: "yes", False: "**no**", None: ""}
        text += ["", "## What is judged"] + table(("what", "measured", "wanted", "met"),
                                                  [(j["what"], j["value"], j["wanted"], word[j["ok"]]) for j in judged])
    if cases:
        text += ["", "## Training step"] + table(("stem", "batch", "precision", "what", "images/s", "ms (min to max)",
                                                  "peak MiB",
                                                  "planned MiB"), step_rows(cases))
    for ablation in result["ablate"]:
        text += ["", f"## What each optimisation is worth, batch {ablation['batch']}"]
        text += table(("group", "what", "ms", "images/s", "speed", "peak MiB"), ablation_rows(ablation))
    if result["fusion"]:
        text += ["", "## Rules of fusion left out, f16, batch 512", ""]
        text += [f"* {r['unfused'] or 'none'}: {r['step_ms']:.3f} ms ({r['step_ms_min']:.3f} to {r['step_ms_max']:.3f})"
                 for r in result["fusion"]]
    if precise:
        text += ["", "## Accuracy on the synthetic set"]
        text += table(("precision", "top-1 by seed", "mean", "last training loss by seed"),
                      [(p, ", ".join(f"{r['top1']:.2f}" for r in precise[p]),
                        f"{statistics.mean(r['top1'] for r in precise[p]):.2f}",
                        ", ".join("?" if r["last_loss"] is None else f"{r['last_loss']:.4f}" for r in precise[p]))
                       for p in TYPES if p in precise])
    for name, ops in result["ops"].items():
        text += ["", f"## Steps, {name}, batch {ops['batch']}"]
        text += table(("step", "layer", "x", "row", "shape", "ms", "TFLOP/s", "GB/s", "% of measured peak"),
                      ops_rows(ops))
    return result, text


def main():
    if sys.argv[1] == "--complete":
        return 0 if complete(*sys.argv[2:]) else 1
    folder = Folder(sys.argv[1])
    result, text = report(folder)
    with open(folder.file("gpu.json"), "w") as f:
        json.dump(result, f, indent=1)
    with open(folder.file("gpu.md"), "w") as f:
        f.write("\n".join(text) + "\n")
    print("\n".join(text[:80]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
