"""The version of the code that trained a model: the commit of the checkout, or the version of the package."""

import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@cache
def code_version() -> str:
    """`git describe` of this checkout, with `-dirty` when it has changes; else the installed version."""
    root = Path(__file__).resolve().parents[2]
    try:
        described = subprocess.run(  # noqa: S603 - fixed arguments
            ["git", "-C", str(root), "describe", "--always", "--dirty"],  # noqa: S607 - git of the user's PATH
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
        return described.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        pass
    try:
        return version("forewarn")
    except PackageNotFoundError:
        return "unknown"
