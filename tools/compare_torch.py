#!/usr/bin/env python3
"""Times rtrain's training step beside PyTorch's, interleaved, and prints a Markdown table of the ratios.

  tools/compare_torch.py [--stem cifar --batch 128] [--stem imagenet --batch 32] ... [--threads 1,2] [--isa avx2]
      [--python PATH ...] [--precision f32] [--beside 0,2] [--rounds 3] [--json FILE]
  tools/compare_torch.py --print FILE          the table of figures that were measured before

Each round runs ours once and every variant of every peer once, each in a process of its own; figures are medians over
the rounds. "best f32" and "best bf16" are the peers' fastest variants in that type. torch.compile compiles before
timing starts.
--python names a Python that has torch (tools/make_venv.sh); the default is the one that runs this. Several are several
peers. A variant that a peer cannot run is left out with a word; ours failing is an error.
--beside N measures each case while N other processes compute. They are of this session, as the measured programs are,
since Linux may share CPUs out by session first. Beside 0,N a table of each program's share of its speed alone follows.
"""
import argparse, contextlib, ctypes, datetime, itertools, json, os, platform, signal, statistics, subprocess, sys, time

from gpu_machine import commit

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VARIANTS = {"eager": [], "channels_last": ["--channels-last"], "compile": ["--channels-last", "--compile"],
            "reduce-overhead": ["--channels-last", "--compile", "reduce-overhead"]}
TYPES = {"f32": [], "bf16": ["--bf16"], "f16": ["--fp16"]}
USUAL = "eager,channels_last,compile,channels_last bf16,compile bf16"
ISA = {"avx2": {"RT_FORCE_ISA": "avx2", "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}}
BUSY_LIMIT = 0.05  # share of all CPUs that others may use before a case


def cpu_ticks():
    """(busy, all) of the machine so far."""
    ticks = [int(x) for x in open("/proc/stat").readline().split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def busy_share(seconds=1.0):
    before = cpu_ticks()
    time.sleep(seconds)
    after = cpu_ticks()
    return (after[0] - before[0]) / max(1, after[1] - before[1])


def wait_until_idle(patience):
    """What was seen last: {"busy": share over a second, "load": average of a minute}."""
    end = time.time() + patience
    while True:
        busy = busy_share()
        if busy <= BUSY_LIMIT or time.time() >= end:
            return {"busy": round(busy, 3), "load": round(os.getloadavg()[0], 2)}
        time.sleep(5)


@contextlib.contextmanager
def busy_processes(count):
    """So many that only compute; none of them outlives this program, however it ends."""
    libc, parent, death_signal = ctypes.CDLL(None), os.getpid(), 1  # PR_SET_PDEATHSIG

    def die_with_parent():
        libc.prctl(death_signal, int(signal.SIGKILL))
        if os.getppid() != parent:
            os._exit(1)

    processes = []
    try:
        for _ in range(count):
            processes.append(subprocess.Popen([sys.executable, "-c", "while True: pass"], preexec_fn=die_with_parent))
        yield
        if any(p.poll() is not None for p in processes):
            sys.exit("a busy process ended before the case that it ran beside")
    finally:
        for p in processes:
            p.kill()
            p.wait()


def fair_share(threads, processes, cpus):
    """Of its speed alone, for a program beside so many busy processes; as bench/beside.hpp has it."""
    return min(1, cpus / (threads + processes)) / min(1, cpus / threads)


def last_json(command, env):
    run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **env})
    if run.returncode != 0:
        return None, (run.stderr.strip().splitlines() or ["exit code %d" % run.returncode])[-1]
    return json.loads(run.stdout.strip().splitlines()[-1]), None


def peer_version(python):
    run = subprocess.run([python, "-c", "import torch; print(torch.__version__)"], capture_output=True, text=True)
    if run.returncode != 0:
        reason = (run.stderr.strip().splitlines() or ["?"])[-1]
        sys.exit(f"{python} has no torch: {reason} (tools/make_venv.sh makes one that has)")
    return run.stdout.strip()


def cpu_model():
    """As rbench says it: many CPUs share a name, as "AMD EPYC"."""
    first = {}
    for line in open("/proc/cpuinfo"):
        key, _, value = line.partition(":")
        first.setdefault(key.strip(), value.strip())
    name = first.get("model name") or platform.processor()
    return name + (" (family {cpu family}, model {model}, stepping {stepping})".format(**first)
                   if "cpu family" in first else "")


def summary(figures):
    """Of the rounds' figures: medians, and the range of every timed repeat."""
    return {"images_per_s": statistics.median(f["images_per_s"] for f in figures),
            "step_ms": statistics.median(f["step_ms"] for f in figures),
            "step_ms_min": min(f["step_ms_min"] for f in figures),
            "step_ms_max": max(f["step_ms_max"] for f in figures),
            "peak_mib": statistics.median(f["peak_mib"] for f in figures),
            "round_images_per_s": [f["images_per_s"] for f in figures],
            "threads": figures[0]["threads"], "planned_mib": figures[0].get("planned_mib")}


def variant(text):
    """"compile bf16" -> the words for torch_resnet18.py, and the type; f32 where none is named."""
    name, _, precision = text.partition(" ")
    return VARIANTS[name] + TYPES[precision or "f32"], precision or "f32"


def measure(a, stem, batch, threads, peers, env):
    """One case: every program once a round. Returns its rows, and whether ours failed."""
    common = ["--stem", stem, "--batch", str(batch), "--device", a.device]
    common += ["--steps", str(a.steps), "--repeat", str(a.repeat)]
    common += (["--threads", str(threads)] if threads else []) + (["--side", str(a.side)] if a.side else [])
    runs = {}  # (name, precision, version) -> command
    for precision in a.precision.split(","):
        runs["rtrain", precision, "rtrain"] = [a.rbench, "step", "--json", "--precision", precision] + common + a.set
    for python, version in peers:
        for name in a.variants.split(","):
            words, precision = variant(name)
            if a.device == "cuda" and precision == "f32":
                words = words + ["--matmul", "highest"]  # f32 without TF32, as ours
            runs["torch " + name.split(" ")[0], precision, "torch " + version] = (
                [python, os.path.join(ROOT, "tools", "torch_resnet18.py"), "bench", "--warmup", "3"] + common + words)
    figures, failed = {key: [] for key in runs}, {}
    for r in range(a.rounds):
        for key in list(runs) if r % 2 == 0 else reversed(list(runs)):  # a machine that drifts steadily favours none
            if key in failed:
                continue
            result, error = last_json(runs[key], env)
            if error:
                failed[key] = error
                print(f"  left out: {key[0]} {key[1]}, {key[2]}: {error}", file=sys.stderr)
            else:
                figures[key].append(result)
    rows = [{"name": name, "precision": precision, "version": version, **summary(figures[name, precision, version])}
            for name, precision, version in runs if (name, precision, version) not in failed]
    return rows, [{"name": k[0], "precision": k[1], "version": k[2], "reason": why} for k, why in failed.items()]


def best(rows, precision):
    of_peers = [r for r in rows if r["name"] != "rtrain" and r["precision"] == precision]
    return max(of_peers, key=lambda r: r["images_per_s"], default=None)


def add_ratios(case):
    """Ours over the best peer: in f32 and in bf16 each in speed, in memory over the best of the same type."""
    for row in case["rows"]:
        if row["name"] != "rtrain":
            continue
        for precision in ("f32", "bf16", "f16"):
            peer = best(case["rows"], precision)
            if peer:
                row["over_best_" + precision] = row["images_per_s"] / peer["images_per_s"]
                row["memory_over_best_" + precision] = row["peak_mib"] / peer["peak_mib"]


def cell(row):
    if not row:
        return ""
    return (f"{row['images_per_s']:.1f} ({row['name'].removeprefix('torch ')} {row['version'].removeprefix('torch ')}; "
            f"{row['step_ms']:.1f} ms, {row['step_ms_min']:.1f} to {row['step_ms_max']:.1f})")


def shares(result):
    """Lines: what each program kept of its speed alone beside busy processes, and of its fair share."""
    alone = {}
    for case, r in each_row(result):
        if case.get("beside") == 0:
            alone[share_key(case, r)] = r["images_per_s"]
    text = []
    for case, r in each_row(result):
        if not case.get("beside") or share_key(case, r) not in alone:
            continue
        rate, fair = alone[share_key(case, r)], fair_share(r["threads"], case["beside"], result["cpus"])
        if not text:
            text = ["", "| case | beside | program | images/s alone | beside (rounds) | share | fair share "
                    "| share of fair (rounds) |", "|---" * 8 + "|"]
        program = r["name"] if r["name"] == "rtrain" else f"{r['name']} {r['version'].removeprefix('torch ')}"
        least, most = min(r["round_images_per_s"]), max(r["round_images_per_s"])
        text.append(f"| {case['stem']} stem, batch {case['batch']}, {r['precision']}, {r['threads']} threads "
                    f"| {case['beside']} | {program} | {rate:.1f} "
                    f"| {r['images_per_s']:.1f} ({least:.1f} to {most:.1f}) | {r['images_per_s'] / rate:.2f} "
                    f"| {fair:.2f} | {r['images_per_s'] / rate / fair:.2f} "
                    f"({least / rate / fair:.2f} to {most / rate / fair:.2f}) |")
    return text


def each_row(result):
    return ((case, r) for case in result["cases"] for r in case["rows"])


def share_key(case, r):
    return case["stem"], case["batch"], r["threads"], r["name"], r["precision"], r["version"]


def markdown(result):
    kinds = [p for p in ("f32", "bf16", "f16") if any(best(c["rows"], p) for c in result["cases"])]
    text = [f"ResNet-18 training step, images/s; {result['cpu']}, commit {result['commit']}, {result['date']}"
            + (", " + " ".join(f"{k}={v}" for k, v in result["env"].items()) if result["env"] else "")
            + f"; medians of {result['rounds']} interleaved rounds", "",
            "| case | threads | rtrain | " + " | ".join("PyTorch's best " + p for p in kinds) + " | "
            + " | ".join("over best " + p for p in kinds) + " | peak MiB (ours; peers') | busy before |",
            "|---" * (5 + 2 * len(kinds)) + "|"]
    for case in result["cases"]:
        for ours in (r for r in case["rows"] if r["name"] == "rtrain"):
            peers = [best(case["rows"], p) for p in kinds]
            ratios = [f"{ours['over_best_' + p]:.2f}x" if p_row else "" for p, p_row in zip(kinds, peers)]
            memory = "; ".join(f"{p_row['peak_mib']:.0f} ({ours['memory_over_best_' + p]:.2f}x)"
                               for p, p_row in zip(kinds, peers) if p_row)
            beside = f", beside {case['beside']} busy" if case.get("beside") else ""
            text.append(f"| {case['stem']} stem, batch {case['batch']}, {ours['precision']}{beside} "
                        f"| {ours['threads']} | "
                        f"{ours['images_per_s']:.1f} ({ours['step_ms']:.1f} ms, "
                        f"{ours['step_ms_min']:.1f} to {ours['step_ms_max']:.1f}) | "
                        + " | ".join(cell(x) for x in peers) + " | " + " | ".join(ratios)
                        + f" | {ours['peak_mib']:.0f}; {memory} | {100 * case['seen']['busy']:.0f} % |")
    scaling = {}  # ours, by number of threads
    for case in result["cases"]:
        for r in case["rows"]:
            if r["name"] == "rtrain" and not case.get("beside"):
                scaling.setdefault((case["stem"], case["batch"], r["precision"]), {})[r["threads"]] = r["images_per_s"]
    for (stem, batch, precision), by_threads in scaling.items():
        if 1 in by_threads:
            text += [f"\n{stem} stem, batch {batch}, {precision}: {n} threads are {rate / by_threads[1]:.2f}x one"
                     for n, rate in sorted(by_threads.items()) if n > 1]
    text += shares(result)
    left_out = [f"{c['stem']} {c['batch']}: {x['name']} {x['precision']} ({x['version']}): {x['reason']}"
                for c in result["cases"] for x in c["left_out"]]
    if left_out:
        text += ["", "Left out:"] + ["* " + x for x in left_out]
    return "\n".join(text)


def options():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--stem", action="append", choices=("cifar", "imagenet"))
    p.add_argument("--batch", action="append", type=int, help="of the --stem at the same place")
    p.add_argument("--side", type=int, default=0, help="image side in pixels; 0: the stem's own")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--repeat", type=int, default=3, help="timed repeats in a process")
    p.add_argument("--steps", type=int, default=1, help="steps in one timed repeat")
    p.add_argument("--threads", default="0", help="as 2, or 1,2: each case with each; 0: each program's own choice")
    p.add_argument("--beside", default="0", help="busy processes, as 2, or 0,1,2: each case beside each number")
    p.add_argument("--variants", default=USUAL, metavar="NAME[ TYPE],...",
                   help=f"of the peers: {', '.join(VARIANTS)}, each in {', '.join(TYPES)} (by autocast); "
                        f"default: {USUAL}")
    p.add_argument("--python", action="append", metavar="PATH", help="a Python with torch; may be given several times")
    p.add_argument("--device", default="cpu", help="cpu or cuda, for both")
    p.add_argument("--precision", default="f32", help="of rtrain: f32, bf16, f16, or several by comma")
    p.add_argument("--isa", choices=sorted(ISA), help="holds both sides to an instruction set")
    p.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="for both sides")
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                   help="a setting for rbench, as optimize.fuse=false")
    p.add_argument("--patience", type=int, default=60, help="seconds to wait for an idle machine before a case")
    p.add_argument("--rbench", default=os.path.join(ROOT, "build", "release", "rbench"))
    p.add_argument("--json", metavar="FILE")
    p.add_argument("--print", metavar="FILE", help="only print the table of a JSON file")
    a = p.parse_args()
    for text in a.variants.split(","):
        try:
            variant(text)
        except KeyError:
            p.error(f"there is no variant '{text}'; there are {', '.join(VARIANTS)}, "
                    f"alone or followed by {', '.join(TYPES)}")
    bad = [e for e in a.env if "=" not in e]
    if bad:
        p.error(f"--env takes NAME=VALUE, not '{bad[0]}'")
    a.stem = a.stem or ["cifar", "imagenet"]
    if a.batch and len(a.batch) != len(a.stem):
        p.error(f"{len(a.stem)} --stem and {len(a.batch)} --batch: give one batch for each stem, or none")
    a.batch = a.batch or [{"cifar": 128, "imagenet": 32}[s] for s in a.stem]
    return a


def main():
    a = options()
    if a.print:
        result = json.load(open(a.print))
        if "cases" not in result:
            sys.exit(f"{a.print} was not written by tools/compare_torch.py --json")
        print(markdown(result))
        return 0
    env = {**ISA.get(a.isa, {}), **dict(e.split("=", 1) for e in a.env)}
    peers = [(python, peer_version(python)) for python in a.python or [sys.executable]]
    result = {"cpu": cpu_model(), "machine": platform.platform(), "cpus": len(os.sched_getaffinity(0)),
              "commit": commit(),
              "date": datetime.date.today().isoformat(), "device": a.device, "env": env, "rounds": a.rounds,
              "peers": ["torch " + version for _, version in peers], "cases": []}
    code = 0
    numbers = [[int(n) for n in text.split(",")] for text in (a.threads, a.beside)]
    for (stem, batch), threads, beside in itertools.product(zip(a.stem, a.batch), *numbers):
        seen = wait_until_idle(a.patience)
        state = "idle" if seen["busy"] <= BUSY_LIMIT else "NOT IDLE: figures are indications only"
        print(f"{stem} stem, batch {batch}, beside {beside} busy processes: machine {state} (busy before "
              f"{100 * seen['busy']:.0f} %, load {seen['load']})", file=sys.stderr)
        with busy_processes(beside):
            rows, left_out = measure(a, stem, batch, threads, peers, env)
        if not any(r["name"] == "rtrain" for r in rows):
            code = 1
        case = {"stem": stem, "batch": batch, "beside": beside, "seen": seen, "rows": rows, "left_out": left_out}
        add_ratios(case)
        result["cases"].append(case)
        if a.json:  # after each case: a long run that ends early leaves what it has
            with open(a.json, "w") as f:
                json.dump(result, f, indent=1)
    print(markdown(result))
    return code


if __name__ == "__main__":
    sys.exit(main())
