"""The only reader of the environment: one frozen object, built at the entry points and passed down."""

from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Everything that can be set, from `FOREWARN_*` variables or a `.env` file.

    Secrets are masked in every repr and log. Defaults need nothing installed by hand.
    """

    model_config = SettingsConfigDict(
        env_prefix="FOREWARN_", env_file=".env", extra="ignore", env_ignore_empty=True, frozen=True
    )

    tenant: str = Field("default", description="Tenant that the command line and the flows work for.")
    data_dir: Path = Field(Path("data"), description="Run-time state: the embedded database, queues, caches.")
    database_url: SecretStr | None = Field(
        None, description="PostgreSQL or TimescaleDB DSN; unset: the embedded database under data_dir."
    )
    mlruns_dir: Path = Field(Path("mlruns"), description="MLflow's own SQLite file and artifacts.")
    mlflow_tracking_uri: SecretStr | None = Field(
        None, description="MLflow server; unset: SQLite in mlruns_dir."
    )
    redis_url: SecretStr | None = Field(None, description="For online features; unset: the same database.")

    compute: Literal["processes", "dask", "ray"] = Field("processes", description="Where chunks of work run.")
    workers: int = Field(2, ge=1, description="How many chunks of series run at once.")
    seed: int = Field(20260101, description="Seed of everything that is drawn.")

    retention_raw_days: int = Field(
        30, ge=1, description="Raw samples are kept this long (and never less than learned from)."
    )
    retention_rollup_days: int = Field(365, ge=1)
    retention_all_days: int = Field(3 * 365, ge=1)

    prometheus_url: str | None = Field(None, description="Prometheus to pull from, such as http://host:9090.")
    prometheus_match: tuple[str, ...] = Field(
        (), description='Series selectors as a JSON list, such as ["{job=\\"node\\"}"]; empty: everything.'
    )
    prometheus_step_s: int = Field(300, ge=1, description="Seconds between the values that are pulled.")
    prometheus_since_h: float = Field(24.0, gt=0, description="How far back the first pull goes.")
    prometheus_service_labels: tuple[str, ...] = Field(
        (), description="Labels that may name the service, the first one that a series has; empty: the usual."
    )
    sidecars_dir: Path | None = Field(
        None,
        description="Folder of series.csv (limits, SLOs), events.csv and incidents.csv about what Prometheus sends.",
    )
    prometheus_bearer_token: SecretStr | None = None
    prometheus_username: str | None = None
    prometheus_password: SecretStr | None = None
    alertmanager_url: str | None = Field(None, description="Alertmanager v2 to post alerts to.")
    webhook_url: str | None = Field(None, description="Receiver of CloudEvents.")
    webhook_secret: SecretStr | None = Field(None, description="HMAC key that signs webhook bodies.")
    slack_webhook_url: SecretStr | None = None
    pagerduty_routing_key: SecretStr | None = None
    runbook_url: str = Field("", description="Base of the runbook links in alerts.")

    service_graph: Path | None = Field(
        None, description='JSON file of who calls whom: {"checkout": ["payments", "orders-db"], ...}.'
    )

    serve_host: str = "127.0.0.1"
    serve_port: int = Field(3000, ge=1, le=65535)
    public_url: str | None = Field(None, description="Where people reach the service; unset: host and port.")
    max_body_bytes: int = Field(1_000_000, ge=1_000)
    rate_limit_per_s: float = Field(200.0, gt=0, description="Requests a second that one tenant may make.")
    model_refresh_s: float = Field(2.0, gt=0, description="How often to look for a newly promoted model.")

    detectors: tuple[str, ...] = Field(
        (),
        description='Names of the detectors, as a JSON list such as ["zscore", "stream"]; empty: the default set.',
    )
    time_zone: str = Field(
        "UTC",
        description="IANA name: seasons follow its clock, or the label `time_zone` of a series.",
    )
    alert_budget_per_week: float = Field(5.0, gt=0, description="Bearable false alarms a week, per tenant.")
    alert_budget_by_service: dict[str, Annotated[float, Field(gt=0)]] = Field(
        {}, description='Services with a budget of their own, as JSON: {"checkout": 1, "batch": 20}.'
    )

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(
                f"there is no time zone {name!r}; give an IANA name such as Europe/Berlin"
            ) from error
        return name

    @property
    def service_url(self) -> str:
        return self.public_url or f"http://{self.serve_host}:{self.serve_port}"
