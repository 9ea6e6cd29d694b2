"""Builds a kustomization: as much of Kustomize as `deploy/kubernetes` uses, and nothing else.

An unknown field raises, so that no part of a kustomization goes unread. Names of generated ConfigMaps and Secrets get
no suffix of a hash.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]

_FIELDS = {"apiVersion", "kind", "namespace", "resources", "images", "configMapGenerator", "secretGenerator"}
_GENERATOR_FIELDS = {"name", "behavior", "envs"}
_IMAGE_FIELDS = {"name", "newName", "newTag"}
#: The pods of each kind of workload.
_POD_PATHS = {
    "Deployment": ("spec", "template", "spec"),
    "Job": ("spec", "template", "spec"),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
}


def build(folder: Path) -> list[Manifest]:
    """The manifests of a folder with a `kustomization.yaml`.

    Raises:
        FileNotFoundError: it names a file that does not exist.
        ValueError: it uses what this module does not know.
    """
    plan = yaml.safe_load((folder / "kustomization.yaml").read_text())
    _require_known(plan, _FIELDS)
    built: list[Manifest] = []
    for name in plan.get("resources", ()):
        place = folder / name
        built += build(place) if place.is_dir() else read_manifests(place)
    for kind, field in (("ConfigMap", "configMapGenerator"), ("Secret", "secretGenerator")):
        for generator in plan.get(field, ()):
            _generate(built, kind, generator, folder)
    for image in plan.get("images", ()):
        _require_known(image, _IMAGE_FIELDS)
        _set_image(built, image)
    if "namespace" in plan:
        _set_namespace(built, plan["namespace"])
    return built


def read_manifests(file: Path) -> list[Manifest]:
    """The documents of one YAML file."""
    return [one for one in yaml.safe_load_all(file.read_text()) if one is not None]


def pod_of(manifest: Manifest) -> Manifest | None:
    """The `spec` of the pods of a workload; null for everything else."""
    path = _POD_PATHS.get(manifest["kind"])
    if path is None:
        return None
    for part in path:
        manifest = manifest[part]
    return manifest


def containers_of(pod: Manifest) -> Iterator[Manifest]:
    """Its containers, those that run first included."""
    yield from pod.get("initContainers", ())
    yield from pod["containers"]


def _require_known(given: Manifest, fields: set[str]) -> None:
    if unknown := set(given) - fields:
        raise ValueError(f"a kustomization has fields that no test reads: {', '.join(sorted(unknown))}")


def _generate(built: list[Manifest], kind: str, generator: Manifest, folder: Path) -> None:
    _require_known(generator, _GENERATOR_FIELDS)
    pairs: dict[str, str] = {}
    for name in generator["envs"]:
        lines = (line.strip() for line in (folder / name).read_text().splitlines())
        pairs.update(
            (key, value)
            for key, _, value in (line.partition("=") for line in lines if line and not line.startswith("#"))
        )
    field = "data" if kind == "ConfigMap" else "stringData"
    known = [one for one in built if (one["kind"], one["metadata"]["name"]) == (kind, generator["name"])]
    if bool(known) != (generator.get("behavior") == "merge"):
        raise ValueError(f"{kind} {generator['name']} exists twice, or is merged with none")
    if known:
        known[0][field].update(pairs)
    else:
        metadata = {"name": generator["name"]}
        built.append({"apiVersion": "v1", "kind": kind, "metadata": metadata, field: pairs})


def _set_image(built: list[Manifest], image: Manifest) -> None:
    for pod in filter(None, map(pod_of, built)):
        for container in containers_of(pod):
            name, _, tag = container["image"].partition(":")
            if name == image["name"]:
                name, tag = image.get("newName", name), image.get("newTag", tag)
                container["image"] = f"{name}:{tag}"


def _set_namespace(built: list[Manifest], namespace: str) -> None:
    for one in built:
        field = "name" if one["kind"] == "Namespace" else "namespace"
        one["metadata"][field] = namespace
