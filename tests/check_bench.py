#!/usr/bin/env python3
"""Runs rbench on tiny networks and checks what it prints: keys, groups, errors. Times are never judged.

  tests/check_bench.py RBENCH        RBENCH: the program
"""
import json, os, re, signal, subprocess, sys, time

RBENCH = sys.argv[1]
TINY = ["--batch", "2", "--side", "16"]
SHORT = ["--repeat", "1", "--steps", "1"]


def run(*words):
    return subprocess.run([RBENCH, *words], capture_output=True, text=True)


def result(*words):
    done = run(*words)
    assert done.returncode == 0, (words, done.returncode, done.stderr)
    return json.loads(done.stdout)


def refused(saying, *words):
    done = run(*words)
    assert done.returncode == 2, (words, done.returncode, done.stderr)
    assert saying in done.stderr and not done.stdout, (words, done.stdout, done.stderr)


def says_where(figures):
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", figures["date"]), figures["date"]
    assert re.fullmatch(r"[0-9a-f]{7,}\+?|unknown", figures["commit"]), figures["commit"]
    assert figures["cpu"], figures
    if "cpu family" in open("/proc/cpuinfo").read():
        assert " (family " in figures["cpu"], figures["cpu"]


step = result("step", "--json", *TINY, *SHORT, "--workers", "0", "optimize.fuse=false")
for key in ("step_ms", "step_ms_min", "step_ms_max", "images_per_s", "peak_mib", "planned_mib", "first_step_after_ms",
            "startup_ms", "setup_ms", "plan_ms", "first_step_ms", "loss", "threads", "share"):
    assert key in step, key
says_where(step)
assert step["workers"] == 0 and step["side"] == 16 and step["batch"] == 2
assert "relu.forward" in step["share"] and abs(sum(step["share"].values()) - 1) < 1e-6
tick_ms = 10  # of a process's age
assert step["first_step_after_ms"] > step["setup_ms"] + step["first_step_ms"] - 2 * tick_ms

# Memory planned before the first step is what the process has held after some, in small and in large.
for batch in ("1", "24"):
    for precision in ("f32", "bf16"):
        for switch in ("optimize.plan=true", "optimize.plan=false"):
            memory = result("step", "--json", "--batch", batch, *SHORT, "--precision", precision, switch)
            assert abs(memory["peak_mib"] / memory["planned_mib"] - 1) < 0.1, (batch, precision, switch, memory)

# Beside busy processes, of which none is left however rbench ends. They are of its session, which is made here.
def left_in_session(session):
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = open(f"/proc/{entry}/stat").read().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":  # proc(5): state is field 3, session field 6
            found.append(int(entry))
    return found


def gone(session):
    for _ in range(100):
        if not left_in_session(session):
            return True
        time.sleep(0.05)
    return False


def start_beside(*words):
    return subprocess.Popen([RBENCH, "step", "--json", *TINY, "--steps", "1", *words], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, start_new_session=True)


started = start_beside("--repeat", "1", "--beside", "1")
out, err = started.communicate()
assert started.returncode == 0, err
beside = json.loads(out)["beside"]
assert beside["processes"] == 1 and beside["cpus"] >= 1, beside
assert beside["images_per_s_min"] <= beside["images_per_s"] <= beside["images_per_s_max"], beside
assert beside["images_per_s_alone"] > 0 and 0 < beside["fair_share"] <= 1, beside
assert abs(beside["share_of_fair"] - beside["share"] / beside["fair_share"]) < 1e-9, beside
assert gone(started.pid), left_in_session(started.pid)
assert "beside" not in step
for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):  # to rbench alone
    started = start_beside("--repeat", "1000", "--beside", "2")
    while len(left_in_session(started.pid)) < 3:
        assert started.poll() is None, started.communicate()
        time.sleep(0.01)
    started.send_signal(signal_number)
    started.communicate()
    assert started.returncode == -signal_number and gone(started.pid), (signal_number, started.returncode)
started = start_beside("--beside", "1", "train.batch=3")  # an error after they were started
assert "train.batch=3" in started.communicate()[1] and started.returncode == 2 and gone(started.pid)
assert "of which it reached" in run("step", *TINY, *SHORT, "--beside", "0", "pin=on").stdout

ops = result("ops", "--json", *TINY, "--repeat", "1", "optimize.fuse=false")
says_where(ops)
assert {"peak_gflops", "peak_gbps", "total_ms", "outside_convolutions", "steps"} <= ops.keys()
assert abs(sum(s["share"] for s in ops["steps"]) - 1) < 1e-6
assert 0 < ops["outside_convolutions"] < 1
kinds = {s["kind"] for s in ops["steps"]}
assert {"conv2d.forward", "relu.backward", "sgd.apply"} <= kinds, kinds
first = next(s for s in ops["steps"] if s["layer"] == "layer1.0.conv1" and s["kind"] == "conv2d.forward")
assert first["count"] == 4 and first["shape"] == "[2,64,16,16] 3x3/1 -> 64", first

for words in (["ablate", "fuse", "memory"], ["fuse", "memory", "--ablate"]):
    ablation = result(*words, "--json", *TINY, *SHORT, "--rounds", "2", "--workers", "0")
    names = [(r["group"], r["name"]) for r in ablation["rows"]]
    assert names == [("together", "baseline"), ("together", "+ fuse"), ("together", "+ memory"), ("alone", "fuse"),
                     ("alone", "memory"), ("without", "fuse"), ("without", "memory")], names
    assert ablation["rows"][0]["speed"] == 1 and ablation["rows"][0]["memory"] == 1
    assert ablation["rows"][1]["settings"] == "optimize.fuse=true optimize.memory=false"
    assert all(r["step_ms_min"] <= r["step_ms"] <= r["step_ms_max"] and r["peak_mib"] > 0 for r in ablation["rows"])
    assert not ablation["left_out"]
    says_where(ablation)

ablation = result("ablate", "--json", *TINY, *SHORT, "--rounds", "1")
together = [r["name"] for r in ablation["rows"] if r["group"] == "together"]
assert together == ["baseline", "+ plan", "+ fuse", "+ winograd", "+ conv2d_fusion", "+ memory", "+ recompute",
                    "+ workers and prefetch", "+ bf16"], together
for group in ("alone", "without"):
    names = [r["name"].split(" (with")[0] for r in ablation["rows"] if r["group"] == group]
    assert names == [name[2:] for name in together[1:]], names

start = result("start", "--json", "--batch", "1", "--side", "16", "--rounds", "1")
says_where(start)
assert start["first_step_after_ms"]["median"] >= start["setup_ms"]["median"] - 20

accuracy = result("accuracy", "--json", "--batch", "1")
says_where(accuracy)
assert {row["pass"] for row in accuracy["rows"]} == {"conv2d.forward", "conv2d.dx", "conv2d.dw"}
assert len({row["shape"] for row in accuracy["rows"]}) == 11
assert all(0 < row["error"] < 5e-6 for row in accuracy["rows"])
assert any(row["row"].endswith(".winograd") for row in accuracy["rows"])
by_winograd = sum(row["row"].endswith(".winograd") for row in accuracy["rows"])
assert run("accuracy", "--batch", "1").stdout.count(".winograd") == by_winograd

assert run("step", *TINY, *SHORT).stdout.count("first step after") == 1
assert "of the FMA peak" in run("ops", "conv2d", *TINY, "--repeat", "1").stdout
refused("no optimisation 'speed'", "ablate", "speed")
refused("train.batch=3", "step", *TINY, "train.batch=3")
refused("pin = sometimes: must be on or off", "step", *TINY, "pin=sometimes")
refused("one filter", "ops", "conv2d", "linear", *TINY)
peer = run("ops", "--json", "--peer", "onednn", *TINY, "layer1.0.conv1")
if peer.returncode == 0:
    assert all(s["kind"].startswith("conv2d") and s["peer_ms"] > 0 for s in json.loads(peer.stdout)["steps"])
    refused("no convolution's", "ops", "--peer", "onednn", "bn1", *TINY)
    refused("f32 on the CPU", "ops", "--peer", "onednn", "--precision", "bf16", *TINY)
else:
    assert peer.returncode == 2 and "libdnnl-dev" in peer.stderr, peer.stderr
refused("--batch", "step", "--batch", "0")
print("rbench prints what it promises")
