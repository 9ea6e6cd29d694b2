"""Feast as the feature store: the table `service_features` offline, and Redis online, where there is one.

Without Redis, the newest features are read from the table itself (see docs/decisions/online-features.md).
`import feast` takes seconds, so it happens at the first use and only in a process that uses it.
"""

import contextlib
import io
import threading
import warnings
import weakref
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import urlsplit

import polars as pl
import yaml
from psycopg.conninfo import conninfo_to_dict

import features.feast_repo as feast_repo
from core.errors import InputError, InvalidFrameError
from core.frames import TIME
from core.settings import Settings
from features.catalog import FEATURE_NAMES
from pipelines.stores.service_features import ServiceFeatureStore
from pipelines.stores.session import database_errors

VIEW = "service_features"
#: Entity rows in one point-in-time query. Its cost grows with the rows times the moments of a service.
CHUNK_ROWS = 20_000


class FeastFeatureStore:
    """One tenant's view of the feature store (`core.ports.FeatureStore`).

    Args:
        settings: `data_dir` has Feast's definitions (created when they are missing or older than the catalog);
            `redis_url`, where set, is the online store.
        dsn: PostgreSQL with `service_features`.
        stored: the features of the tenant in that table.
        tenant: only services of this tenant can be queried.
    """

    def __init__(self, settings: Settings, dsn: str, stored: ServiceFeatureStore, tenant: str) -> None:
        self._dsn, self._stored, self._tenant = dsn, stored, tenant
        self._registry = settings.data_dir / "feast" / "registry.db"
        self._redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
        self._opened: Any = None
        self._lock = threading.Lock()

    def materialize(self, start: datetime, end: datetime) -> int:
        services = self._stored.services(start, end)
        if self._redis_url and services:
            # Feast's own `materialize` would write the features of all tenants.
            newest = self._stored.latest(services, FEATURE_NAMES, end)
            frame = newest.with_columns(created=pl.col("ts")).to_pandas()
            # Feast prints its own progress; the pipeline shows ours
            with database_errors(), _quiet(), contextlib.redirect_stdout(io.StringIO()):
                self._store().write_to_online_store(VIEW, df=frame)
        return len(services)

    def training_frame(self, entities: pl.DataFrame, features: Sequence[str]) -> pl.DataFrame:
        self._require_own(entities.get_column("service_id").to_list())
        _require_known(features)
        if entities.is_empty():  # Feast finds no type for a column without values
            return entities.with_columns(pl.lit(None, pl.Float64).alias(name) for name in features)
        chunks = [
            self._historical(entities.slice(offset, CHUNK_ROWS), features)
            for offset in range(0, entities.height, CHUNK_ROWS)
        ]
        # Feast returns all rows in another order; the join restores the caller's order
        found = pl.concat(chunks).unique(["service_id", "ts"], keep="last")
        return entities.join(found, on=["service_id", "ts"], how="left", maintain_order="left")

    def online(
        self, service_ids: Sequence[str], features: Sequence[str], *, until: datetime | None = None
    ) -> pl.DataFrame:
        self._require_own(service_ids)
        _require_known(features)
        schema: dict[str, pl.DataType | type[pl.DataType]] = dict.fromkeys(features, pl.Float64)
        schema = {"service_id": pl.String(), "ts": TIME, **schema}
        if not service_ids:
            return pl.DataFrame(schema=schema)
        if not self._redis_url:
            return self._stored.latest(service_ids, features, until)
        store = self._store()
        with database_errors(), _quiet():
            response = store.get_online_features(
                features=[f"{VIEW}:{name}" for name in features],
                entity_rows=[{"service_id": service} for service in service_ids],
            )
        values = response.to_dict(include_event_timestamps=True)
        seconds = values[f"{features[0]}__ts"]
        return pl.DataFrame(
            {
                "service_id": list(service_ids),
                "ts": [datetime.fromtimestamp(at, UTC) if at else None for at in seconds],
                **{name: values[name] for name in features},
            },
            schema=schema,
        )

    def _historical(self, entities: pl.DataFrame, features: Sequence[str]) -> pl.DataFrame:
        # renamed, because Feast would otherwise confuse the entity's time with the feature's time
        wanted = entities.select("service_id", event_timestamp="ts").unique(maintain_order=True).to_pandas()
        with database_errors(), _quiet():
            job = self._store().get_historical_features(
                entity_df=wanted, features=[f"{VIEW}:{name}" for name in features]
            )
            table = job.to_arrow()
        frame = pl.from_arrow(table)
        if not isinstance(frame, pl.DataFrame):
            raise InvalidFrameError("the feature store returned no table")
        time = pl.col("event_timestamp")
        if frame.schema["event_timestamp"] == pl.Datetime("us") or not getattr(
            frame.schema["event_timestamp"], "time_zone", None
        ):
            time = time.dt.replace_time_zone("UTC")
        return frame.select(
            "service_id", time.cast(TIME).alias("ts"), *(pl.col(name).cast(pl.Float64) for name in features)
        )

    def _require_own(self, service_ids: Sequence[str]) -> None:
        foreign = next((one for one in service_ids if not one.startswith(f"{self._tenant}/")), None)
        if foreign is not None:
            raise InputError(f"service_id must begin with {self._tenant + '/'!r}, got {foreign!r}")

    def _store(self) -> Any:
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
                # Feast never closes its connection for online reads
                weakref.finalize(self, _close_online, self._opened)
            return self._opened

    def _open(self) -> Any:
        with _quiet():
            from feast import FeatureStore
            from feast.repo_config import RepoConfig

            from features.feast_repo import views

            self._registry.parent.mkdir(parents=True, exist_ok=True)
            store = FeatureStore(config=RepoConfig(**self._config()))
            known = (
                {view.name: view for view in store.list_feature_views()} if self._registry.exists() else {}
            )
            names = {field.name for field in known[VIEW].schema} if VIEW in known else set()
            if not names.issuperset(FEATURE_NAMES):
                store.apply([views.service, views.service_features])
        return store

    def _config(self) -> dict[str, Any]:
        """`feature_store.yaml` with this connection."""
        parts = conninfo_to_dict(self._dsn)
        text = (Path(next(iter(feast_repo.__path__))) / "feature_store.yaml").read_text()
        options = str(parts.get("options", ""))
        values = {
            "FOREWARN_FEAST_REGISTRY": str(self._registry.resolve()),
            "FOREWARN_FEAST_HOST": str(parts.get("host", "127.0.0.1")),
            "FOREWARN_FEAST_PORT": str(parts.get("port", 5432)),
            "FOREWARN_FEAST_DATABASE": str(parts.get("dbname", "postgres")),
            "FOREWARN_FEAST_SCHEMA": _search_path(options),
            "FOREWARN_FEAST_USER": str(parts.get("user", "postgres")),
            "FOREWARN_FEAST_PASSWORD": str(parts.get("password", "")),
            "FOREWARN_FEAST_SSLMODE": str(parts.get("sslmode", "prefer")),
        }
        raw = yaml.safe_load(text)
        config = {key: _fill(value, values) for key, value in raw.items()}
        config["offline_store"]["db_schema"] = _without_nested_loops(config["offline_store"]["db_schema"])
        if self._redis_url:
            config["online_store"] = {"type": "redis", "connection_string": _redis(self._redis_url)}
        return config


def _fill(value: Any, values: dict[str, str]) -> Any:
    """Fill the leaves after parsing, so that a password with a colon cannot break the YAML."""
    if isinstance(value, dict):
        return {key: _fill(inner, values) for key, inner in value.items()}
    if isinstance(value, str) and value.startswith("${"):
        filled = Template(value).substitute(values)
        return int(filled) if value == "${FOREWARN_FEAST_PORT}" else filled
    return value


def _search_path(options: str) -> str:
    """The first schema of `-c search_path=a,b` among libpq options, else public."""
    _, found, rest = options.partition("search_path=")
    return rest.split()[0].split(",")[0].strip('"') if found else "public"


def _without_nested_loops(schema: str) -> str:
    """The search path, and a planner setting after it, because Feast offers no other way to set one.

    Feast's point-in-time query joins two results that PostgreSQL expects to have a handful of rows. So it compares each
    row of one with each row of the other: 3,360 moments took 20 times as long as with a hash join.
    """
    return f"{schema} -c enable_nestloop=off -c search_path={schema}"


def _redis(url: str) -> str:
    """`redis://:secret@host:6379/2` as Feast writes it: `host:6379,password=secret,db=2`."""
    parts = urlsplit(url)
    words = [f"{parts.hostname or 'localhost'}:{parts.port or 6379}"]
    if parts.password:
        words.append(f"password={parts.password}")
    if parts.path.strip("/"):
        words.append(f"db={parts.path.strip('/')}")
    if parts.scheme == "rediss":
        words.append("ssl=true")
    return ",".join(words)


def _close_online(store: Any) -> None:
    connection = getattr(store._get_provider().online_store, "_conn", None)
    if connection is not None:
        connection.close()


def _require_known(names: Sequence[str]) -> None:
    unknown = set(names) - set(FEATURE_NAMES)
    if unknown:
        raise InputError(f"no such feature: {', '.join(sorted(unknown))}")


def _quiet() -> warnings.catch_warnings:
    """Ignore the deprecation warnings of Feast and its imports; our own stay errors."""
    return warnings.catch_warnings(action="ignore")
