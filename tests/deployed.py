"""What the manifests of `deploy/kubernetes` make, for the tests that look at them."""

import shutil
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from data_sets import ROOT
from kustomize import Manifest, build, pod_of

FOLDER = ROOT / "deploy" / "kubernetes"
#: What a person writes into `secrets.env`.
SECRETS = "FOREWARN_DATABASE_URL=postgresql://forewarn:secret@db.example.com:5432/forewarn\n"
#: As the second argument of `changed`: the field is removed.
ABSENT: Any = object()


def filled_example(into: Path) -> Path:
    """A copy of all manifests whose example has its secrets; returns the folder of the example."""
    copy = into / "kubernetes"
    shutil.copytree(FOLDER, copy)
    example = copy / "overlays" / "example"
    (example / "secrets.env").write_text(SECRETS)
    return example


def built_example() -> list[Manifest]:
    """The manifests of the example, with its secrets."""
    with TemporaryDirectory() as folder:
        return build(filled_example(Path(folder)))


BASE = build(FOLDER / "base")
EXAMPLE = built_example()


def find(built: list[Manifest], kind: str, name: str) -> Manifest:
    """The manifest of that kind and name."""
    (found,) = [one for one in built if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def workloads(built: list[Manifest]) -> dict[str, Manifest]:
    """`Kind/name` -> the spec of its pods."""
    pods = ((f"{one['kind']}/{one['metadata']['name']}", pod_of(one)) for one in built)
    return {name: pod for name, pod in pods if pod is not None}


def pod_template(manifest: Manifest) -> Manifest:
    """The pod template of a workload, which has the labels."""
    spec = manifest["spec"]
    template: Manifest = spec.get("jobTemplate", {}).get("spec", spec)["template"]
    return template


def selects(selector: Manifest, labels: Mapping[str, str]) -> bool:
    """Whether a label selector selects these labels; of expressions it knows `In`."""
    expressions = selector.get("matchExpressions", ())
    assert all(one["operator"] == "In" for one in expressions)
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(one["key"]) in one["values"] for one in expressions
    )


def changed(built: list[Manifest], kind: str, name: str, changes: Mapping[str, Any]) -> list[Manifest]:
    """A copy with fields of one manifest replaced.

    Args:
        changes: path such as `spec/ports/0/port` -> the new value, or `ABSENT`.
    Raises:
        KeyError, IndexError: the path, except for its last part, does not exist.
    """
    copy = deepcopy(built)
    for path, value in changes.items():
        place: Any = find(copy, kind, name)
        *parents, last = (int(part) if part.isdigit() else part for part in path.split("/"))
        for part in parents:
            place = place[part]
        if value is ABSENT:
            del place[last]
        else:
            place[last] = value
    return copy
