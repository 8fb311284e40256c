#!/usr/bin/env python3
"""No line of a source or a document is wider than 120 columns; tables in documents may be, but for README.md's.

  tests/check_lines.py ROOT        ROOT: the repository
"""
import pathlib, sys

from repository import files

WIDTH = 120
ENDINGS = {".cpp", ".hpp", ".cu", ".py", ".sh", ".cmake", ".md"}


def wide_lines(path, may_hold_tables):
    """Numbers of the lines, and how wide they are."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if len(line) > WIDTH and not (may_hold_tables and line.startswith("|")):
            yield number, len(line)


root = pathlib.Path(sys.argv[1]).resolve()
bad = 0
for name in files(root):
    if name.suffix not in ENDINGS and name.name != "CMakeLists.txt":
        continue
    for number, width in wide_lines(root / name, name.suffix == ".md" and str(name) != "README.md"):
        bad += 1
        print(f"{name}:{number}: {width} columns, {WIDTH} are allowed")
if bad:
    sys.exit(f"{bad} lines are too wide")
