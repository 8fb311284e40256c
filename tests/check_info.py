#!/usr/bin/env python3
"""What the command line says of the machine and of its choices: instruction sets and CPUs it is held to, --explain.

  tests/check_info.py RTRAIN         RTRAIN: the program
"""
import json, os, re, subprocess, sys, tempfile

RTRAIN = sys.argv[1]
SETS = ["scalar", "avx2", "avx512", "avx512_bf16", "amx"]  # each holds those before it


def run(*words, env=None, cpus=None):
    # Before the program starts: the number of threads follows from the mask that it finds.
    hold = (lambda: os.sched_setaffinity(0, cpus)) if cpus else None
    return subprocess.run([RTRAIN, *words], capture_output=True, text=True, env={**os.environ, **(env or {})},
                          preexec_fn=hold)


def info(env=None, cpus=None):
    done = run("info", "--json", env=env, cpus=cpus)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


found = info({"RT_FORCE_ISA": ""})
assert found["isa_reason"] == "found", found
if os.path.exists("/proc/cpuinfo") and "cpu family" in open("/proc/cpuinfo").read():
    assert re.search(r" \(family \d+, model \d+, stepping \d+\)$", found["cpu"]), found["cpu"]
if found["isa"] in SETS:  # elsewhere there is one
    best = SETS.index(found["isa"])
    for isa in SETS[:best + 1]:
        held = info({"RT_FORCE_ISA": isa})
        assert held["isa"] == isa and held["isa_reason"] == "RT_FORCE_ISA=" + isa, held
    for isa in SETS[best + 1:]:
        refused = run("info", env={"RT_FORCE_ISA": isa})
        assert refused.returncode == 2 and f"this CPU has only {SETS[best]}" in refused.stderr, refused
nonsense = run("info", env={"RT_FORCE_ISA": "avx3"})
assert nonsense.returncode == 2 and "RT_FORCE_ISA=avx3: known instruction sets are" in nonsense.stderr, nonsense

mask = sorted(os.sched_getaffinity(0))
held = info(cpus={mask[0]})
assert held["threads"] == 1 and held["affinity_cpus"] == 1, held
assert len(mask) == 1 or "in the affinity mask" in held["threads_reason"], held

# What the user sets of OpenMP's variables. Bound to one CPU, the main thread still has the others.
one = info({"OMP_NUM_THREADS": "1"})
assert one["threads"] == 1 and one["threads_reason"] == "OMP_NUM_THREADS=1", one
many = info({"OMP_NUM_THREADS": "4096"})
assert many["threads"] <= len(mask), many
assert many["threads_reason"].startswith(f"OMP_NUM_THREADS=4096 on {len(mask)} CPU"), many
config = run("config", "--origin", env={"OMP_NUM_THREADS": "1"}).stdout
assert re.search(r"^threads +1 +auto: OMP_NUM_THREADS=1$", config, re.M), config
for bound in ({"OMP_PROC_BIND": "close"},
              {"OMP_PROC_BIND": "true", "OMP_PLACES": "cores", "OMP_WAIT_POLICY": "passive"}):
    assert info(bound)["affinity_cpus"] == len(mask), bound
# Started by the dynamic loader, the program cannot start itself anew, and runs all the same.
loader = "/lib64/ld-linux-x86-64.so.2"
if os.path.exists(loader):
    done = subprocess.run([loader, os.path.abspath(RTRAIN), "info", "--json"], capture_output=True, text=True)
    assert done.returncode == 0 and json.loads(done.stdout)["cpu"] == found["cpu"], done.stderr
# Started anew, it keeps the name that it was called by, and its words.
done = subprocess.run(["the name", "inf"], executable=os.path.abspath(RTRAIN), capture_output=True, text=True)
assert done.returncode == 2 and "no verb 'inf'" in done.stderr, done

with tempfile.TemporaryDirectory() as folder:
    env = {"XDG_CACHE_HOME": os.path.join(folder, "cache")}
    data = os.path.join(folder, "data")
    assert run("synth", "--out", data, "--train", "32", "--test", "16").returncode == 0

    def explain(*words):
        done = run("train", data, "--dry-run", "--explain", "train.batch=16", *words, env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    rows_of = {"amx": "avx512", "avx512_bf16": "avx512", "scalar": "baseline", "neon": "baseline"}
    isa = rows_of.get(found["isa"], found["isa"])
    tuned = explain()  # what a busy machine has no time for follows in the next runs
    # A line for each distinct step: how often, its kind, what it makes, the row, why better ones refused, timings.
    line = (rf"^ +\d+x conv2d\.forward\.stats +\[16,.*\] f32 nhwc +cpu\.{isa}\.winograd(, | \(not .*\), )"
            r"tuned to \d+( prefetch)? \(\d+: \d+\.\d+ ms.*\)$")
    for _ in range(20):
        if re.search(line, tuned, re.M):
            break
        tuned = explain()
    assert re.search(line, tuned, re.M), tuned
    assert re.search(rf"conv2d\.forward .*cpu\.{isa} \(not cpu\.\S+: .*\)", tuned), tuned
    assert not re.search(r"\d ms", explain("optimize.autotune=false"))
    eager = explain("optimize.plan=false")  # what eager steps run: nothing fused, nothing tuned, nothing made again
    assert "conv2d.forward.stats" not in eager and "bn_relu" not in eager and "relu.forward" in eager, eager
    assert "tuned to" not in eager and "optimize.recompute" not in eager, eager
    chosen = explain("optimize.select=false", "optimize.fuse=false")
    assert "cpu.reference (optimize.select=false)" in chosen and f"cpu.{isa}" not in chosen, chosen
print("rtrain says what it may use and what it chose")
