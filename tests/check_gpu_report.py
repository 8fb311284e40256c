#!/usr/bin/env python3
"""tools/gpu_report.py on a made-up folder, with files that a stopped part cut short. It writes both files and
   judges right.
   tests/check_gpu_report.py"""
import json, os, subprocess, sys, tempfile

REPORT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools", "gpu_report.py")
sys.path.insert(0, os.path.dirname(REPORT))
from gpu_machine import commit


def row(name, images_per_s, peak=1000.0, planned=None):
    return {"name": name, "precision": "bf16", "images_per_s": images_per_s, "step_ms": 1.0, "step_ms_min": 0.9,
            "step_ms_max": 1.1, "peak_mib": peak, "planned_mib": planned}


def check(condition, what):
    if not condition:
        sys.exit("gpu_report: " + what)


def run(*words):
    return subprocess.run([sys.executable, REPORT, *words], capture_output=True, text=True)


with tempfile.TemporaryDirectory() as folder:
    def write(name, text):
        with open(os.path.join(folder, name), "w") as f:
            f.write(text if isinstance(text, str) else json.dumps(text))

    check(run(folder).returncode == 0, "an empty folder is no error: " + run(folder).stderr)

    rows = [row("rtrain", 45000.0, 1020.0, 1000.0), row("torch eager", 9000.0), row("torch compile", 20000.0)]
    case = {"stem": "cifar", "batch": 512, "rows": rows,
            "left_out": [{"name": "torch reduce-overhead", "precision": "bf16", "reason": "out of memory"}]}
    write("machine.json", {"gpu": "NVIDIA Card", "commit": "abc", "nvcc": "release 13", "torch": "2.9", "gcc": "c++ 13",
                           "info": {"cuda": {"cudnn": 91900, "cublas": 130000}}})
    write("parts.txt", "build ok 60 s\nstep FAILED (124) 540 s\n")
    write("step-cifar-512-bf16.json", {"commit": commit(), "cases": [case]})
    write("any-order-cifar-512-bf16.json", row("?", 46000.0))
    write("ours-cifar-512-bf16.json", row("?", 1.0))
    write("ours-imagenet-128-bf16.json", row("?", 20000.0))
    write("any-order-imagenet-16-bf16.json", row("?", 777.0))
    write("step-cifar-16-bf16.json", json.dumps({"commit": "abc", "cases": [case]})[:100])
    write("ablate-512.json", '{"batch": 512, "ro')
    write("ops-cifar-f32.json", "")
    write("accuracy.jsonl", "".join(json.dumps({"precision": p, "seed": s, "top1": t}) + "\n"
                                    for p, t in (("f32", 0.95), ("bf16", 0.949), ("f16", 0.94)) for s in (0, 1))
                                    + '{"precision": "f3')
    write("curve-bf16-0.jsonl",
          '{"event":"train","loss":2.0}\n{"event":"train","loss":0.5}\n{"event":"eval","loss":0.4}\n{"event":"tr')
    write("sanitize-memcheck.jsonl",
          '{"tool": "memcheck", "op": "relu", "result": "clean"}\n'
          '{"tool": "memcheck", "op": "sgd", "result": "errors"}\n')
    write("sanitize-racecheck.jsonl", '{"tool": "racecheck", "op": "relu", "result": "unavailable"}\n')
    write("sanitize-synccheck.jsonl", '{"tool": "synccheck", "op": "relu", "result": "clean"}\n'
          '{"tool": "synccheck", "op": "sgd", "result": "timed out"}\n'
          '{"tool": "synccheck", "op": "add", "result": "unavailable"}\n')
    write("test.log", "1: [doctest] test cases:  38 |  37 passed | 1 failed | 167 skipped\n"
                      "2: [doctest] test cases: 2 | 2 passed | 0 failed |\n")

    done = run(folder)
    check(done.returncode == 0, done.stderr)
    result = json.load(open(os.path.join(folder, "gpu.json")))
    text = open(os.path.join(folder, "gpu.md")).read()
    judged = {j["what"]: j for j in result["judged"]}
    met = lambda start: [j["ok"] for what, j in judged.items() if what.startswith(start)]
    check(met("speed over PyTorch's compile") == [True], "2.25x of the compiled step: " + str(judged))
    check(met("memory used") == [True], "2 % over the plan")
    check(met("top-1 in bf16") == [True] and met("top-1 in f16") == [False], "gaps of 0.1 and 1 point")
    check(met("compute-sanitizer memcheck") == [False] and met("compute-sanitizer racecheck") == [None], "sanitizers")
    check(met("compute-sanitizer synccheck") == [False]
          and "1 of 3 families clean; not sgd (timed out), add (unavailable)" in text,
          "a tool is not clean where families timed out or could not be run")
    check(met("test cases") == [False] and result["tests"] == {"cases": 40, "passed": 39, "failed": 1, "programs": []},
          "test counts")
    check("19 % of arithmetic, 50 % of what is reachable" in text, "shares of the floor")
    check([len(c["rows"]) for c in result["step"]] == [4, 1, 1]
          and met("share of an H200's floor, imagenet stem, batch 128") == [None],
          "ours alone, where there are no figures of PyTorch's")
    check(result["accuracy"]["bf16"][0]["last_loss"] == 0.5, "the last loss of a curve that is cut short")
    check([c["batch"] for c in result["step"]] == [512, 128, 16] and result["ablate"] == [] and result["ops"] == {},
          "files cut short are left out")
    check("deterministic=false (**2.30x**)" in text and "out of memory" in text and "cuDNN 91900" in text,
          "the Markdown file: " + text)

    passed = ("1: [doctest] test cases:  38 |  38 passed | 0 failed | 167 skipped\n"
              "1/2 Test #1: gpu_cuda ....   Passed    0.50 sec\n")
    for part, log, ok, value in (
            ("ok", passed + "100% tests passed, 0 tests failed out of 1\n", True, "38 of 38 passed"),
            ("FAILED (1)", passed, False, "38 of 38 passed; the part: FAILED (1) 9 s"),
            ("ok", passed + "2/2 Test #2: gpu_cudnn ....***Exception: SegFault  0.50 sec\n"
                            "50% tests passed, 1 tests failed out of 2\n", False,
             "38 of 38 passed; gpu_cudnn exception"),
            ("ok", passed + "2/2 Test #2: gpu_cross .......***Timeout 150.03 sec\n", False,
             "38 of 38 passed; gpu_cross timeout"),
            ("ok", passed + "2/2 Test #2: gpu_cross ....***Skipped   0.03 sec\n", True, "38 of 38 passed"),
            ("ok", passed + "50% tests passed, 1 tests failed out of 2\n", False, "38 of 38 passed; another failed"),
            ("FAILED (1)", "", False, "0 of 0 passed; the part: FAILED (1) 9 s")):
        write("parts.txt", f"test {part} 9 s\n")
        write("test.log", log)
        run(folder)
        found = [j for j in json.load(open(os.path.join(folder, "gpu.json")))["judged"]
                 if j["what"].startswith("test cases")]
        check([(j["ok"], j["value"]) for j in found] == [(ok, value)], f"test part {part}: {found}")

    path = os.path.join(folder, "step-cifar-512-bf16.json")
    for variants, there in (("eager bf16,reduce-overhead bf16", True), ("eager bf16,channels_last bf16", False),
                            ("eager f32", False)):
        check((run("--complete", path, variants).returncode == 0) == there, "--complete " + variants)
    killed = {"name": "rtrain", "precision": "bf16", "reason": "killed"}
    failed = {**case, "rows": rows[1:], "left_out": case["left_out"] + [killed]}
    write("failed.json", {"commit": commit(), "cases": [failed]})
    write("alone.json", {"sources": commit(), **row("?", 1.0)})
    write("old.json", {"sources": "abc", **row("?", 1.0)})
    for name, there in (("alone", 0), ("old", 1), ("step-cifar-512-bf16", 0), ("step-cifar-16-bf16", 1)):
        check(run("--complete", os.path.join(folder, name + ".json")).returncode == there, f"--complete {name}.json")
    for name in ("step-cifar-16-bf16.json", "missing.json", "failed.json"):
        check(run("--complete", os.path.join(folder, name), "eager bf16").returncode == 1, name + " is not complete")
