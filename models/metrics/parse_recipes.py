"""Reads the recipes of an exporter from the content of a YAML file, and says what is wrong with it."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.domain import Direction, Role
from core.errors import InputError
from models.metrics.recipe import Aggregate, CallMetric, Exporter, Recipe, Scope, Term

_Name = Annotated[str, Field(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")]
_STRICT = ConfigDict(extra="forbid", frozen=True)


class _TermFile(BaseModel):
    model_config = _STRICT

    metric: _Name
    where: dict[_Name, str] = {}
    matching: dict[_Name, str] = {}
    excluding: dict[_Name, str] = {}
    rate: bool = False
    native: bool = False
    above: float | None = None
    below: float | None = None
    aggregate: Aggregate = Aggregate.SUM
    else_zero_of: str | None = None


class _RecipeFile(BaseModel):
    model_config = _STRICT

    signal: _Name
    about: str
    role: Role
    unit: str
    direction: Direction
    formula: str
    terms: dict[str, _TermFile]
    scope: Scope = Scope.INSTANCE
    by: tuple[_Name, ...] = ()
    service: tuple[_Name, ...] = ()
    quantile: float | None = None
    limit: float | None = None
    slo_threshold: float | None = None
    size: str | None = None
    unless: _TermFile | None = None
    unlike: str | None = None
    peers: bool = False


class _CallFile(BaseModel):
    model_config = _STRICT

    metric: _Name
    caller: tuple[_Name, ...] = ()
    callee: Annotated[tuple[_Name, ...], Field(min_length=1)]
    where: dict[_Name, str] = {}
    excluding: dict[_Name, str] = {}


class _ExporterFile(BaseModel):
    model_config = _STRICT

    exporter: str
    source: str = ""
    prefixes: tuple[str, ...] = ()
    host_metric: str | None = None
    recipes: list[_RecipeFile] = []
    calls: list[_CallFile] = []


def parse_exporter(content: Mapping[str, Any] | object, name: str) -> Exporter:
    """The recipes in the content of a file.

    Args:
        content: as a YAML reader gives it.
        name: of the file, for errors.
    Raises:
        InputError: a field is missing, unknown or wrong; the text names the file and the field.
    """
    try:
        read = _ExporterFile.model_validate(content)
        recipes = [_recipe(one) for one in read.recipes]
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{name}: {where or 'the file'}: {first['msg']}") from error
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    return Exporter(
        name=read.exporter,
        prefixes=read.prefixes,
        recipes=tuple(recipes),
        host_metric=read.host_metric,
        calls=tuple(CallMetric(**one.model_dump()) for one in read.calls),
    )


def _recipe(one: _RecipeFile) -> Recipe:
    terms = {name: Term(**term.model_dump()) for name, term in one.terms.items()}
    unless = None if one.unless is None else Term(**one.unless.model_dump())
    rest = one.model_dump(exclude={"terms", "unless"})
    return Recipe(**rest, terms=terms, unless=unless)
