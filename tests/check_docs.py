#!/usr/bin/env python3
"""What documents say of the repository and its programs exists: files, links, verbs, options, settings, presets.

  tests/check_docs.py ROOT RTRAIN RBENCH        ROOT: the repository; the others: the programs

Code is what stands in backquotes or in a fenced block. README.md has at most 150 lines.
"""
import fnmatch, functools, json, pathlib, re, subprocess, sys

from repository import files

ROOT = pathlib.Path(sys.argv[1]).resolve()
PROGRAMS = {"rtrain": sys.argv[2], "rbench": sys.argv[3]}
README_LINES = 150
SOURCE = r"[\w./*-]*\w\.(?:cpp|hpp|cu|py|sh|cmake)\b"
FILE_ENDINGS = {"cpp", "hpp", "cu", "json", "toml", "bin"}
PLACEHOLDER = re.compile(r"foo|NAME|FOLDER|DIR|FILE")  # of recipes

bad = {}  # as a list that holds nothing twice


def complain(document, number, what):
    bad[f"{document}:{number}: {what}"] = True


FILES = files(ROOT)
NAMES = {path.name for path in FILES}
PRESETS = {p["name"] for p in json.loads((ROOT / "CMakePresets.json").read_text())["configurePresets"]}


@functools.cache
def help_of(*words):
    run = subprocess.run([PROGRAMS[words[0]], *words[1:], "--help"], capture_output=True, text=True)
    return run.stdout if run.returncode == 0 else ""


@functools.cache
def subcommands(*words):
    listed = re.split(r"^subcommands:.*$", help_of(*words), flags=re.IGNORECASE | re.MULTILINE)
    return set(re.findall(r"^  ([a-z][\w-]*)", listed[1], re.MULTILINE)) if len(listed) > 1 else set()


@functools.cache
def settings():
    run = subprocess.run([PROGRAMS["rtrain"], "config"], capture_output=True, text=True, check=True)
    return {line.split()[0] for line in run.stdout.splitlines() if line.strip()}


def exists(document, name):
    """A path from the root, from src/, from the document's own folder; without a folder: any file of that name."""
    if "/" not in name:
        return bool(fnmatch.filter(NAMES, name))
    folders = (ROOT, ROOT / "src", (ROOT / document).parent)
    return any(any(folder.glob(name)) for folder in folders)


def check_files(document, number, line):
    ours = {path.parts[0] for path in FILES if len(path.parts) > 1}
    for name in re.findall(SOURCE, line):
        if not PLACEHOLDER.search(name) and not exists(document, name):
            complain(document, number, f"there is no {name}")
    for name in re.findall(r"(?<![\w/.])[\w.]+/[\w./-]*\w", line):
        if name.split("/")[0] in ours and not PLACEHOLDER.search(name) and not (ROOT / name).exists():
            complain(document, number, f"there is no {name}")


def check_results(document, number, line):
    """bench/README.md names its sources without their folder."""
    for name in re.findall(r"`((?:cpu|gpu)-[^`/]*\.(?:jsonl?|txt))`", line):
        choices = re.search(r"{([^}]*)}", name)
        for choice in choices.group(1).split(",") if choices else [""]:
            one = name.replace(choices.group(0), choice) if choices else name
            if not any((ROOT / "bench/results").glob(one)):
                complain(document, number, f"there is no bench/results/{one}")


def anchors(path):
    """Of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def check_links(document, number, line):
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", line)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (ROOT / document).parent / name if name else ROOT / document
        if not path.exists():
            complain(document, number, f"the link {target} leads nowhere")
        elif anchor and anchor not in anchors(path):
            complain(document, number, f"{name or document} has no heading #{anchor}")


def check_program(document, number, code):
    """rtrain VERB and rbench COMMAND with their options, up to the end of the command."""
    for program, words in re.findall(r"\b(rtrain|rbench)((?: +[^\s|;&`]+)+)", code):
        words = words.split()
        path = [program]
        if words and re.fullmatch(r"[a-z][\w-]*", words[0]):
            path.append(words.pop(0))
            if path[-1] not in subcommands(program):
                complain(document, number, f"{program} has no '{path[-1]}'")
                continue
            if words and words[0] in subcommands(*path):
                path.append(words.pop(0))
        for option in (word for word in words if word.startswith("-")):
            name = option.split("=")[0]
            if not re.search(rf"(^|[\s,]){re.escape(name)}\b", help_of(*path), re.MULTILINE):
                complain(document, number, f"{' '.join(path)} has no option {name}")


def check_settings(document, number, code):
    tables = {key.split(".")[0] for key in settings() if "." in key}
    for table, key in re.findall(r"(?<![\w./-])([a-z]+)\.([a-z_]+)\b(?![/(])", code):
        if table in tables and key not in FILE_ENDINGS and f"{table}.{key}" not in settings():
            complain(document, number, f"there is no setting {table}.{key}")


def check_presets(document, number, code):
    named = re.findall(r"--preset[ =]([\w-]+)", code) + re.findall(r"\bbuild/([\w-]+)/(?:rtrain|rbench|tests)\b", code)
    for preset in named:
        if preset not in PRESETS:
            complain(document, number, f"there is no preset {preset}")


def code_of(line, fence):
    """Commands of a line, without comments: all of it in a block of them, in text what stands in backquotes."""
    if fence is None:
        return re.findall(r"`([^`]+)`", line)
    return [re.sub(r"(^| +)#.*", "", line)] if fence == "sh" else []


def check_document(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    lines = text.splitlines()
    if document == "README.md" and len(lines) > README_LINES:
        complain(document, len(lines), f"{len(lines)} lines, {README_LINES} are allowed")
    fence = None
    for number, line in enumerate(lines, 1):
        if line.startswith("```"):
            fence = line[3:].strip() if fence is None else None
            continue
        check_files(document, number, line)
        if fence is None:
            check_links(document, number, line)
        if document == "bench/README.md":
            check_results(document, number, line)
        for code in code_of(line, fence):
            check_program(document, number, code)
            check_settings(document, number, code)
            check_presets(document, number, code)
    if fence is not None:
        complain(document, len(lines), "a fenced block is not closed")


for path in FILES:
    if path.suffix == ".md":
        check_document(path.as_posix())
print("\n".join(bad))
sys.exit(1 if bad else 0)
