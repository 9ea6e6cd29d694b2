"""Builds the reference pages of the documentation site from the code: API, HTTP API and settings.

MkDocs calls `on_files` before it renders; the pages exist only in the site, so that none can be out of date.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

PACKAGES = ("core", "features", "models", "pipelines", "serving", "flows")
#: Modules that connect, or need a library's runtime, when they are read; their endpoints are in the HTTP API.
LEFT_OUT = {"features.feast_repo.views", "serving.service"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    pages = {f"reference/{package}.md": package_page(package) for package in PACKAGES}
    pages |= {"reference/http.md": http_page(), "reference/settings.md": settings_page()}
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    return files


def package_page(package: str) -> str:
    """One package with all its modules, in the order of their names."""
    lines = [f"# {package}", ""]
    for module in sorted(modules_of(package)):
        lines += [f"::: {module}", ""]
    return "\n".join(lines)


def modules_of(package: str) -> Iterator[str]:
    """The dotted names of the modules that hold code."""
    for path in (ROOT / package).rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if path.name != "__init__.py" and name not in LEFT_OUT:
            yield name


def settings_page() -> str:
    """Every setting with its default, from the class that reads them."""
    from core.settings import Settings

    lines = [
        "# Settings",
        "",
        "Set each as an environment variable, or as a line of a `.env` file in the working directory.",
        "",
        "| variable | default | meaning |",
        "|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else str(field.default)
        meaning = (field.description or "").replace("|", "\\|")
        lines.append(f"| `FOREWARN_{name.upper()}` | {f'`{default}`' if default else 'unset'} | {meaning} |")
    return "\n".join(lines) + "\n"


def http_page() -> str:
    """Every route of the service, from its own OpenAPI document."""
    from serving.http.openapi import openapi
    from serving.http.routes import ROUTES

    document: Mapping[str, Any] = openapi(ROUTES)
    lines = [
        "# HTTP API",
        "",
        "`forewarn serve` starts the service. Send the key of `forewarn keys create` as `Authorization: Bearer KEY`.",
        "The service itself shows this API at `/docs`, where you can try it, and as OpenAPI 3.1 at `/docs.json`.",
        "",
        document["info"]["description"],
        "",
    ]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            lines += [f"## `{method.upper()} {path}`", "", operation.get("summary", ""), ""]
            if "security" in operation and not operation["security"]:
                lines += ["This route needs no key.", ""]
            lines += _parameters(operation) + _body(operation, document) + _responses(operation)
    return "\n".join(lines) + "\n"


def _parameters(operation: Mapping[str, Any]) -> list[str]:
    found = operation.get("parameters", [])
    if not found:
        return []
    rows = [f"| `{one['name']}` | {_cell(_meaning(one))} |" for one in found]
    return ["| parameter | meaning |", "|---|---|", *rows, ""]


def _body(operation: Mapping[str, Any], document: Mapping[str, Any]) -> list[str]:
    content = operation.get("requestBody", {}).get("content", {})
    lines: list[str] = []
    for media_type, body in content.items():
        schema = _resolved(body.get("schema", {}), document)
        lines += [f"Body (`{media_type}`): {schema.get('description', '').strip() or 'see the schema'}", ""]
        fields = schema.get("properties", {})
        required = set(schema.get("required", []))
        if fields:
            lines += ["| field | required | meaning |", "|---|---|---|"]
            for name, field in fields.items():
                known = {**_resolved(field, document), **field}
                meaning = _meaning(known) or str(field.get("title", ""))
                lines.append(f"| `{name}` | {'yes' if name in required else 'no'} | {_cell(meaning)} |")
            lines.append("")
    return lines


def _responses(operation: Mapping[str, Any]) -> list[str]:
    rows = [
        f"| {code} | {_cell(response.get('description', ''))} |"
        for code, response in operation.get("responses", {}).items()
    ]
    return ["| status | meaning |", "|---|---|", *rows, ""] if rows else []


def _meaning(field: Mapping[str, Any]) -> str:
    """The description of a parameter or a field, with a mark when it is deprecated."""
    return ("Deprecated. " if field.get("deprecated") else "") + str(field.get("description", ""))


def _resolved(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: Any = document
    for part in str(reference).removeprefix("#/").split("/"):
        found = found[part]
    resolved: Mapping[str, Any] = found
    return resolved


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
