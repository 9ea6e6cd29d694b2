"""The environment of a service with settings of its own."""

import json
import os
from pathlib import Path

from pydantic import SecretStr

from core.settings import Settings


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment for a child process that makes `Settings()` there equal to `settings` here."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FOREWARN_")}
    for name, value in settings:
        if value is None:
            continue
        if isinstance(value, SecretStr):
            text = value.get_secret_value()
        elif isinstance(value, Path):
            text = str(value.resolve())
        elif isinstance(value, tuple | list | dict):
            # As pydantic-settings reads what is not a scalar.
            text = json.dumps(value)
        else:
            text = str(value)
        environment[f"FOREWARN_{name.upper()}"] = text
    return environment
