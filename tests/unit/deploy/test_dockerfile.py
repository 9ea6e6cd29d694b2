"""The Dockerfile keeps rules as those of hadolint. Each rule has a broken example that it must find."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


@dataclass(frozen=True, slots=True)
class Instruction:
    name: str
    arguments: str


def parse(text: str) -> list[Instruction]:
    """The instructions of a Dockerfile, with continued lines joined and comments left out."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    parted = (line.strip().partition(" ") for line in joined.splitlines())
    return [Instruction(name.upper(), arguments.strip()) for name, _, arguments in parted]


def _all(file: list[Instruction], *names: str) -> Iterator[str]:
    return (one.arguments for one in file if one.name in names)


def hides_a_failure(file: list[Instruction]) -> bool:
    """In `a && b || true` a failed `a` counts as success, and so does one before `;` or in front of a pipe."""
    return any(re.search(r"\|\||;|(?<!\|)\|(?!\|)|set \+e|\bexit 0\b", run) for run in _all(file, "RUN"))


def base_without_a_version(file: list[Instruction]) -> bool:
    return any(
        ":" not in base.split()[0] or base.split()[0].endswith(":latest") for base in _all(file, "FROM")
    )


def runs_as_root(file: list[Instruction]) -> bool:
    """The last user counts. A number, because Kubernetes cannot check a name."""
    users = list(_all(file, "USER"))
    return not users or not re.fullmatch(r"[1-9]\d*(:[1-9]\d*)?", users[-1])


def starts_in_a_shell(file: list[Instruction]) -> bool:
    """A shell in between does not pass on the signal that stops a container."""
    return any(not arguments.startswith("[") for arguments in _all(file, "CMD", "ENTRYPOINT"))


def adds_instead_of_copies(file: list[Instruction]) -> bool:
    return any(True for _ in _all(file, "ADD"))


def installs_what_is_not_locked(file: list[Instruction]) -> bool:
    installs = [run for run in _all(file, "RUN") if "pip install" in run]
    return not installs or any("--require-hashes" not in run and "--no-deps" not in run for run in installs)


def keeps_a_cache(file: list[Instruction]) -> bool:
    return any("pip install" in run and "--no-cache-dir" not in run for run in _all(file, "RUN"))


def uses_sudo_or_cd(file: list[Instruction]) -> bool:
    return any(re.search(r"\b(sudo|cd)\b", run) for run in _all(file, "RUN"))


def has_a_relative_workdir(file: list[Instruction]) -> bool:
    return any(not folder.startswith("/") for folder in _all(file, "WORKDIR"))


def holds_a_secret(file: list[Instruction]) -> bool:
    return any(re.search(r"(?i)(password|secret|token|key)\w*=", one) for one in _all(file, "ENV", "ARG"))


def copies_what_is_not_there(file: list[Instruction]) -> bool:
    return any(not (ROOT / source).exists() for copy in _all(file, "COPY") for source in copy.split()[:-1])


def lacks_a_package(file: list[Instruction]) -> bool:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    return not packages <= {copy.split()[0] for copy in _all(file, "COPY")}


def is_bound_for_every_command(file: list[Instruction]) -> bool:
    """Listening on all addresses belongs to the command that serves: the others must not ask for a public address."""
    return any("FOREWARN_SERVE_HOST" in one for one in _all(file, "ENV"))


RULES: list[tuple[Callable[[list[Instruction]], bool], str, str]] = [
    (
        hides_a_failure,
        "RUN python -m compileall",
        "RUN pip check && python -m compileall -q . || true\nRUN true",
    ),
    (hides_a_failure, "RUN python -m compileall", "RUN pip check; python -m compileall"),
    (hides_a_failure, "RUN python -m compileall", "RUN pip freeze | tee list\nRUN python -m compileall"),
    (base_without_a_version, "FROM python:3.12-slim-bookworm", "FROM python"),
    (base_without_a_version, "FROM python:3.12-slim-bookworm", "FROM python:latest"),
    (runs_as_root, "USER 10001:10001", ""),
    (runs_as_root, "USER 10001:10001", "USER root"),
    (runs_as_root, "USER 10001:10001", "USER forewarn"),
    (starts_in_a_shell, 'ENTRYPOINT ["forewarn"]', "ENTRYPOINT forewarn"),
    (adds_instead_of_copies, "COPY core core", "ADD core core"),
    (installs_what_is_not_locked, "--require-hashes", ""),
    (keeps_a_cache, "--no-cache-dir", ""),
    (uses_sudo_or_cd, "RUN mkdir", "RUN cd /app && mkdir"),
    (has_a_relative_workdir, "WORKDIR /app", "WORKDIR app"),
    (holds_a_secret, "ENV HOME=/tmp", "ENV DB_PASSWORD=hunter2 HOME=/tmp"),
    (copies_what_is_not_there, "COPY core core", "COPY kernel core"),
    (lacks_a_package, "COPY models models", ""),
    (is_bound_for_every_command, "ENV HOME=/tmp", "ENV HOME=/tmp FOREWARN_SERVE_HOST=0.0.0.0"),
]


@pytest.mark.parametrize("broken", dict.fromkeys(rule for rule, _, _ in RULES))
def test_the_dockerfile_keeps_the_rule(broken: Callable[[list[Instruction]], bool]) -> None:
    assert not broken(parse(DOCKERFILE)), broken.__doc__


@pytest.mark.parametrize(("broken", "right", "wrong"), RULES)
def test_the_rule_finds_a_broken_dockerfile(
    broken: Callable[[list[Instruction]], bool], right: str, wrong: str
) -> None:
    assert right in DOCKERFILE
    assert broken(parse(DOCKERFILE.replace(right, wrong)))
