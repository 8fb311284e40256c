"""The files of this repository, for checks of them: those that git knows or would add; in a copy without git, all
but what is built or downloaded."""
import pathlib, subprocess

NOT_OURS = {".venv", ".cache", "build", "runs", "data", "__pycache__"}  # of the root folder, as .gitignore says


def files(root):
    """Sorted paths, seen from root."""
    listed = subprocess.run(["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                            capture_output=True, text=True)
    if listed.returncode == 0:
        names = {pathlib.Path(name) for name in listed.stdout.split("\0") if name}
    else:
        names = {path.relative_to(root) for path in root.rglob("*")}
        names = {name for name in names if name.parts[0] not in NOT_OURS}
    return sorted(name for name in names if (root / name).is_file())
