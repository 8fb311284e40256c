#!/usr/bin/env python3
"""No line of a source or a document is wider than 120 columns; tables in documents may be, but for README.md's.

  tests/check_lines.py ROOT        ROOT: the repository
"""
import pathlib, sys

WIDTH = 120
ENDINGS = {".cpp", ".hpp", ".cu", ".py", ".sh", ".cmake", ".md"}
NOT_OURS = {".git", ".venv", ".cache", "build", "runs", "data", "shared", "__pycache__"}  # of the root folder


def files(root):
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root)
        checked = path.suffix in ENDINGS or path.name == "CMakeLists.txt"
        if checked and inside.parts[0] not in NOT_OURS and path.is_file():
            yield path, inside.as_posix()


def wide_lines(path, name):
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        in_table = name.endswith(".md") and name != "README.md" and line.startswith("|")
        if len(line) > WIDTH and not in_table:
            yield number, len(line)


bad = 0
for path, name in files(pathlib.Path(sys.argv[1]).resolve()):
    for number, width in wide_lines(path, name):
        bad += 1
        print(f"{name}:{number}: {width} columns, {WIDTH} are allowed")
sys.exit(f"{bad} lines are too wide" if bad else 0)
