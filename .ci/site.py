"""Builds the documentation as a site: `python .ci/site.py FOLDER`.

The pages are written to be read in the repository, too: they link to each other, and to files
beside docs/. Here README.md becomes the first page, the other pages beside docs/ come along, and
each file that a page links to is copied as a text that a browser shows.
A link or an anchor that leads nowhere fails the build, and no other host is asked for anything.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
BESIDE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security-policy.md",
}
SHOWN = {".md", ".png", ".svg"}
FENCE = re.compile(r"(^ *```.*?^ *```$)", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?![a-z]+:)([^)#\s]+)((?:#[^)\s]+)?)\)")


def place_of(path):
    """Return where in the site a page or a file of the repository is."""
    name = path.relative_to(ROOT).as_posix()
    if name in BESIDE:
        return BESIDE[name]
    if path.is_relative_to(DOCS):
        name = path.relative_to(DOCS).as_posix()
    if path.suffix not in SHOWN:
        name = re.sub(r"(^|/)\.", r"\1", name) + ".txt"
    return name


def rewritten(page, files):
    """Return the text of a page with its links as in the site; note what they lead to."""

    def link(found):
        target, anchor = found.groups()
        path = (page.parent / target).resolve()
        if path.is_dir():
            path /= "README.md"
        if not path.is_file():
            sys.exit(f"{page.relative_to(ROOT)}: {target} leads nowhere")
        files.add(path)
        here = pathlib.PurePosixPath(place_of(page)).parent
        return f"]({os.path.relpath(place_of(path), here)}{anchor})"

    parts = FENCE.split(page.read_text())
    return "".join(
        part if number % 2 else LINK.sub(link, part) for number, part in enumerate(parts)
    )


def stage(folder):
    """Write all pages, and the files that they link to, into a folder."""
    files = set()
    pages = [*(ROOT / name for name in BESIDE), *sorted(DOCS.rglob("*.md"))]
    for page in pages:
        copy = folder / place_of(page)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(rewritten(page, files))
    for path in files - set(pages):
        copy = folder / place_of(path)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def build(site):
    """Build the site into a folder, which is emptied before."""
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        shutil.copyfile(ROOT / "mkdocs.yml", work / "mkdocs.yml")
        stage(work / "docs")
        command = [pathlib.Path(sys.executable).parent / "zensical", "build", "--clean", "--strict"]
        done = subprocess.run(
            command, cwd=work, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        if done.returncode:
            sys.exit(re.sub(r"\x1b\[[\d;]*m", "", done.stdout.decode()))
        shutil.rmtree(site, ignore_errors=True)
        shutil.copytree(work / "site", site)


if __name__ == "__main__":
    build(pathlib.Path(sys.argv[1]))
