#!/usr/bin/env python3
"""Interrupts a run again and again, resumes it, and compares its weights with those of an undisturbed run, bit for bit.

  tests/check_resume.py RTRAIN [--kills 3] [--precision bf16] [--arch vgg11]      RTRAIN: the program

Each interruption is a kill -9 at a chosen moment: while a checkpoint is being written (its temporary file is there),
during the evaluation, or in the middle of an epoch; one is a polite SIGTERM. Every resume uses another number of
threads and loader workers. Needs nothing but Python's standard library.
"""
import argparse, glob, hashlib, json, os, random, re, shutil, signal, subprocess, sys, tempfile, time

TRAIN_IMAGES, TEST_IMAGES, BATCH, EPOCHS = 160, 96, 8, 2
SETTINGS = [f"train.batch={BATCH}", f"train.epochs={EPOCHS}", "train.checkpoint_every=4", "train.log_every=1",
            "optimizer.lr=0.01", "eval.batch=8", "run.seed=5"]


def tensors_hash(path):
    """Of everything behind the header: the metadata may name the run."""
    with open(path, "rb") as f:
        n = int.from_bytes(f.read(8), "little")
        header = json.loads(f.read(n))
        header.pop("__metadata__", None)
        return hashlib.sha256(json.dumps(header, sort_keys=True).encode() + f.read()).hexdigest()


def metrics(run):
    rows = [json.loads(line) for line in open(os.path.join(run, "metrics.jsonl"))]
    return [{k: v for k, v in r.items() if k not in ("images_per_s", "data_wait_ms")} for r in rows]


def start(command):
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finished_text(process):
    return process.communicate()[1]


def steps_logged(run):
    try:
        return sum('"train"' in line for line in open(os.path.join(run, "metrics.jsonl")))
    except FileNotFoundError:
        return 0


def wait_for(process, condition, timeout=120):
    end = time.time() + timeout
    while process.poll() is None and time.time() < end:
        if condition():
            return True
        time.sleep(0.001)
    return False


def kill_at(process, run, moment, rng):
    """True if the process was killed at that moment, False if it ended before."""
    before = steps_logged(run)
    writing = lambda: bool(glob.glob(os.path.join(run, "checkpoints", "*.tmp")))
    per_epoch = TRAIN_IMAGES // BATCH
    if moment == "checkpoint":
        ok = wait_for(process, lambda: steps_logged(run) > before and writing())
        time.sleep(rng.random() * 0.03)
    elif moment == "evaluation":
        names = lambda: [os.path.join(run, "checkpoints", f"step-{e * per_epoch:09}.safetensors")
                         for e in range(1, EPOCHS + 1)]
        seen = {n: os.path.getmtime(n) for n in names() if os.path.exists(n)}
        ok = wait_for(process, lambda: any(os.path.exists(n) and n not in seen for n in names()))
        time.sleep(0.05 + rng.random() * 0.1)
    else:
        target = before + rng.randint(1, 6)
        ok = wait_for(process, lambda: steps_logged(run) >= target and not writing())
        time.sleep(rng.random() * 0.05)
    if process.poll() is not None:
        return False
    process.send_signal(signal.SIGTERM if moment == "sigterm" else signal.SIGKILL)
    return ok


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("rtrain")
    p.add_argument("--kills", type=int, default=3)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--device", default="cpu")
    p.add_argument("--precision", default="auto")
    p.add_argument("--arch", default="resnet18")
    p.add_argument("--images", type=int, default=0, help="smaller sets than usual, for a slow device")
    a = p.parse_args()
    rng = random.Random(a.seed)
    SETTINGS.extend((f"device={a.device}", f"precision={a.precision}", f"model.arch={a.arch}"))
    if a.images:
        global TRAIN_IMAGES, TEST_IMAGES
        TRAIN_IMAGES, TEST_IMAGES = a.images, 8
        SETTINGS.append("train.checkpoint_every=1")
    folder = tempfile.mkdtemp(prefix="rtrain-resume-")
    data, plain, run = (os.path.join(folder, n) for n in ("data", "plain", "run"))
    subprocess.run([a.rtrain, "synth", "--out", data, "--train", str(TRAIN_IMAGES), "--test", str(TEST_IMAGES)],
                   check=True, stderr=subprocess.DEVNULL)
    subprocess.run([a.rtrain, "train", data, f"run.dir={plain}", "threads=2", *SETTINGS], check=True,
                   stderr=subprocess.DEVNULL)

    want = {"checkpoint": -(-a.kills * 3 // 10), "evaluation": -(-a.kills * 2 // 10)}
    moments = ["checkpoint"] * want["checkpoint"] + ["evaluation"] * want["evaluation"]
    moments += ["epoch"] * (a.kills - len(moments))
    counts, tries = {}, 0
    command = [a.rtrain, "train", data, f"run.dir={run}", "threads=2", *SETTINGS]
    sigterm_done = False
    while len(moments) > 0 and tries < 20 * a.kills:
        tries += 1
        process = start(command)
        moment = "sigterm" if not sigterm_done and tries == 2 else rng.choice(moments)
        killed = kill_at(process, run, moment, rng)
        text = finished_text(process)
        if moment == "sigterm" and killed:
            assert process.returncode == 143, f"SIGTERM gave exit code {process.returncode}:\n{text}"
            sigterm_done = True
        elif killed and process.returncode == -signal.SIGKILL:
            moments.remove(moment)
            counts[moment] = counts.get(moment, 0) + 1
        elif process.returncode not in (0, -signal.SIGKILL):
            sys.exit(f"exit code {process.returncode}:\n{text}")
        if glob.glob(os.path.join(run, "checkpoints", "step-*.safetensors")):
            command = [a.rtrain, "train", "--resume", run, f"threads={rng.randint(1, 3)}",
                       f"data.workers={rng.randint(0, 2)}"]
        else:
            shutil.rmtree(run, ignore_errors=True)  # killed before anything was saved: begin again
        if process.returncode == 0 and moments:  # it got to the end: all over again, for the kills that are left
            compare(plain, run)
            shutil.rmtree(run)
            command = [a.rtrain, "train", data, f"run.dir={run}", "threads=2", *SETTINGS]
    if os.path.isdir(run):
        subprocess.run([a.rtrain, "train", "--resume", run], check=True, stderr=subprocess.DEVNULL)
        compare(plain, run)
    evaluates_as_trained(a.rtrain, plain)
    print(f"{sum(counts.values())} kills ({counts}), {tries} processes: "
          "weights, best model and metrics equal the undisturbed run's")
    check_changed_images(a.rtrain, data, plain)
    shutil.rmtree(folder)
    if moments:
        sys.exit(f"did not manage every kill: left {moments}")


def evaluates_as_trained(rtrain, run):
    """What `rtrain eval` says of the run is what its best evaluation said."""
    best = max(r["top1"] for r in metrics(run) if r["event"] == "eval")
    shown = subprocess.run([rtrain, "eval", run, "--json"], check=True, stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL)
    top1 = json.loads(shown.stdout)["top1"]
    assert abs(top1 - best) < 1e-6, f"eval gives a top-1 of {top1}, training had {best}"


def compare(plain, run):
    for name in ("last.safetensors", "best.safetensors"):
        x, y = tensors_hash(os.path.join(plain, name)), tensors_hash(os.path.join(run, name))
        assert x == y, f"{name} differs: {plain} and {run}"
    assert metrics(plain) == metrics(run), f"metrics differ: {plain} and {run}"


def check_changed_images(rtrain, data, run):
    """Refused when one bit is another, although size and mtime are as before; welcome again when it is put back."""
    path = os.path.join(data, "data_batch_1.bin")
    before = os.stat(path)
    with open(path, "rb") as f:
        original = f.read()
    changed = original[:-1] + bytes([original[-1] ^ 1])
    assert os.path.exists(os.path.join(run, "data.json"))
    for content, code in ((changed, 3), (original, 0)):
        with open(path, "wb") as f:
            f.write(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        p = subprocess.run([rtrain, "train", "--resume", run], capture_output=True, text=True)
        assert p.returncode == code, f"exit code {p.returncode} instead of {code}:\n{p.stderr}"
        assert ("does not hold the images that this run was trained on" in p.stderr) == (code == 3), p.stderr


if __name__ == "__main__":
    main()
