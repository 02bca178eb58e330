"""The TypeScript compiler of `clients/js`, which is installed at its first use."""

import fcntl
import json
import shutil
import subprocess
from pathlib import Path
from typing import Final

CLIENTS: Final = Path(__file__).parents[1] / "clients" / "js"
COMPILER: Final = CLIENTS / "node_modules" / "typescript" / "bin" / "tsc"

OPTIONS: Final = {"strict": True, "noEmit": True, "target": "es2022", "module": "nodenext"}


def faults_in(folder: Path) -> list[str]:
    """Return what `tsc --strict` finds wrong with the files of a folder."""
    _install()
    (folder / "tsconfig.json").write_text(
        json.dumps({"compilerOptions": {**OPTIONS, "types": []}, "include": ["*.ts"]})
    )
    command = [_found("node"), str(COMPILER), "--project", str(folder), "--pretty", "false"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if ran.returncode == 0:
        return []
    return (ran.stdout + ran.stderr).splitlines() or [f"status {ran.returncode}"]


def _install() -> None:
    """Install what the lock file names, once, whichever test process comes first."""
    if COMPILER.is_file():
        return
    with (CLIENTS / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not COMPILER.is_file():
            command = [_found("npm"), "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
            subprocess.run(command, cwd=CLIENTS, timeout=240, check=True, capture_output=True)


def _found(program: str) -> str:
    path = shutil.which(program)
    assert path is not None, f"{program} is not here: install Node.js 20 or newer"
    return path
