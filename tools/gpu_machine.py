#!/usr/bin/env python3
"""Writes what a run of tools/gpu_check.sh was measured on.   tools/gpu_machine.py RTRAIN OUT.json
   tools/gpu_machine.py --commit                     only prints which sources these are"""
import hashlib, json, os, re, shutil, subprocess, sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def output(*command):
    """What a program says; "" where it is not there or fails."""
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=120)
        return run.stdout.strip() if run.returncode == 0 else ""
    except (OSError, subprocess.TimeoutExpired):
        return ""


def sources():
    """A hash of what the programs and these scripts are made from."""
    digest = hashlib.sha256()
    for top in ("src", "bench", "tools"):
        for folder, below, names in os.walk(os.path.join(ROOT, top)):
            below[:] = sorted(set(below) - {"__pycache__", "results"})
            for name in sorted(names):
                path = os.path.join(folder, name)
                with open(path, "rb") as f:
                    digest.update(os.path.relpath(path, ROOT).encode() + b"\0" + f.read() + b"\0")
    return digest.hexdigest()[:12]


def commit():
    """As in tools/compare_torch.py's files: with a + where files were changed. Without git: $RTRAIN_COMMIT, else
    "unknown-" and a hash of the sources, so that figures of the same ones can be told."""
    name = output("git", "-C", ROOT, "rev-parse", "--short", "HEAD")
    if name:
        return name + ("+" if output("git", "-C", ROOT, "status", "--porcelain", "--untracked-files=no") else "")
    given = os.environ.get("RTRAIN_COMMIT", "")
    return given if re.fullmatch(r"[\w.+-]+", given, re.ASCII) else "unknown-" + sources()


def main():
    if sys.argv[1:] == ["--commit"]:
        return print(commit())
    rtrain, path = sys.argv[1:]
    gpu = output("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader").splitlines()
    try:
        info = json.loads(output(rtrain, "info", "--json"))
    except ValueError:
        info = {}
    nvcc = [x for x in output("nvcc", "--version").splitlines() if "release" in x]
    machine = {"gpu": gpu[0] if gpu else "", "commit": commit(), "nvcc": nvcc[0].strip() if nvcc else "",
               "gcc": (output(os.environ.get("CXX", "c++"), "--version").splitlines() or [""])[0],
               "torch": output(sys.executable, "-c", "import torch; print(torch.__version__)"),
               "compute_sanitizer": bool(shutil.which("compute-sanitizer")), "info": info}
    with open(path, "w") as f:
        json.dump(machine, f, indent=1)


if __name__ == "__main__":
    main()
