"""The only reader of the environment: one frozen object, built at the entry points and passed down."""

import json
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from core.archive import archive_place
from core.errors import ConfigurationError
from core.service_names import SERVICE_LABELS, ServiceRule

_PREFIX = "FOREWARN_"

TopicArn = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:sns:[a-z0-9-]+:\d+:.+$")]


class Settings(BaseSettings):
    """Everything that can be set, from `FOREWARN_*` variables or a `.env` file.

    Secrets are masked in every repr and log. Defaults need nothing installed by hand.
    """

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_file=".env", extra="ignore", env_ignore_empty=True, frozen=True
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
    worker_memory_mb: int = Field(
        4_000,
        ge=100,
        description="A process with watch cycles starts anew before a cycle, if it or a worker needs more MiB.",
    )
    sample_memory_mb: int = Field(
        256,
        ge=0,
        description="Memory for samples of the last days in a process with watch cycles; 0: none.",
    )
    seed: int = Field(20260101, description="Seed of everything that is drawn.")

    retention_raw_days: int = Field(
        30, ge=1, description="Raw samples are kept this long (and never less than learned from)."
    )
    retention_rollup_days: int = Field(365, ge=1)
    retention_all_days: int = Field(3 * 365, ge=1)
    archive_url: str | None = Field(
        None,
        description="Folder or s3://bucket/prefix. Retention writes raw samples there as Parquet before it deletes"
        " them; unset: it only deletes them. Credentials and region of S3 come from the variables of AWS.",
    )
    archive_endpoint_url: str | None = Field(
        None, description="Another address of S3 for the archive, such as http://minio:9000."
    )

    queues: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (),
        description="Queues that `forewarn consume` reads: a URL such as kafka://broker:9092/topic?format=otlp,"
        " or several as a JSON list.",
    )
    prometheus_url: str | None = Field(None, description="Prometheus to pull from, such as http://host:9090.")
    prometheus_match: tuple[str, ...] = Field(
        (), description='Series selectors as a JSON list, such as ["{job=\\"node\\"}"]; empty: everything.'
    )
    golden_signals: bool = Field(
        False,
        description="Compute golden signals, as `forewarn watch` does, of what is pulled from Prometheus and of what"
        " remote_write and OTLP push; else raw series are stored.",
    )
    recipes_dir: Path | None = Field(
        None,
        description="Folder of your own recipes (YAML) of golden signals, in addition to the built-in ones.",
    )
    series_budget: int = Field(
        1_500,
        ge=1,
        description="Metrics without a recipe become signals until there are so many series; the rest is reported.",
    )
    prometheus_step_s: int = Field(300, ge=1, description="Seconds between the values that are pulled.")
    prometheus_since_h: float = Field(24.0, gt=0, description="How far back the first pull goes.")
    prometheus_service_labels: tuple[str, ...] = Field(
        (),
        description="Labels that may name the service of a metric, alert or deploy; the first with a value counts;"
        " empty: the usual.",
    )
    sidecars_dir: Path | None = Field(
        None,
        description="Folder of series.csv (limits, SLOs), events.csv and incidents.csv about what Prometheus sends.",
    )
    cloudwatch_region: str | None = Field(
        None,
        description="Region of Amazon CloudWatch to pull metrics from, such as eu-west-1 (needs forewarn[aws]).",
    )
    cloudwatch_namespaces: tuple[str, ...] = Field(
        (), description='Namespaces of CloudWatch as a JSON list, such as ["AWS/Lambda", "AWS/RDS"].'
    )
    cloudwatch_alarms: bool = Field(
        False, description="Pull the states of the alarms of that region: an alarm that fires is an incident."
    )
    cloudwatch_max_metrics: int = Field(
        500,
        ge=1,
        description="At most so many metrics of CloudWatch are read: AWS charges for each at each pull.",
    )
    cloudwatch_step_s: int = Field(
        300, ge=60, description="Seconds of a period of CloudWatch; a multiple of 60."
    )
    cloudwatch_since_h: float = Field(
        24.0, gt=0, description="How far back the first pull from CloudWatch goes."
    )
    cloudwatch_endpoint_url: str | None = Field(
        None, description="Another address of CloudWatch, such as of a VPC endpoint."
    )
    azure_resources: tuple[str, ...] = Field(
        (), description="Ids of resources of Azure whose metrics are pulled, as a JSON list."
    )
    azure_tenant_id: str | None = Field(
        None, description="Directory (tenant) of the application that logs in."
    )
    azure_client_id: str | None = Field(
        None, description="That application; it needs the role Monitoring Reader."
    )
    azure_client_secret: SecretStr | None = Field(None, description="Client secret of that application.")
    azure_bearer_token: SecretStr | None = Field(
        None, description="A token for the Azure Resource Manager, in place of that application."
    )
    azure_dimensions: tuple[str, ...] = Field(
        (), description='Dimensions that are read one by one, as a JSON list such as ["Instance"].'
    )
    azure_max_metrics: int = Field(500, ge=1, description="At most so many metrics of Azure are read.")
    azure_step_s: int = Field(
        300, ge=60, description="Seconds of a period of Azure Monitor: 60, 300, 900, 1800 or 3600."
    )
    azure_since_h: float = Field(
        24.0, gt=0, description="How far back the first pull from Azure Monitor goes."
    )
    azure_endpoint_url: str = Field(
        "https://management.azure.com",
        description="The Azure Resource Manager; national clouds have their own.",
    )
    azure_login_url: str = Field(
        "https://login.microsoftonline.com", description="Where the application logs in."
    )
    grafana_url: str | None = Field(
        None, description="Grafana whose alerts are pulled: an alert that fires is an incident."
    )
    grafana_token: SecretStr | None = Field(None, description="Token of a service account of that Grafana.")
    prometheus_bearer_token: SecretStr | None = None
    prometheus_username: str | None = None
    prometheus_password: SecretStr | None = None
    alertmanager_url: str | None = Field(None, description="Alertmanager v2 to post alerts to.")
    webhook_url: str | None = Field(None, description="Receiver of CloudEvents.")
    webhook_secret: SecretStr | None = Field(None, description="HMAC key that signs webhook bodies.")
    slack_webhook_url: SecretStr | None = None
    pagerduty_routing_key: SecretStr | None = None
    pagerduty_webhook_secret: SecretStr | None = Field(
        None,
        min_length=1,
        description="Secret of PagerDuty's webhook subscription: its signature is required.",
    )
    github_webhook_secret: SecretStr | None = Field(
        None, min_length=1, description="Secret of GitHub's webhook: its signature is required."
    )
    gitlab_webhook_token: SecretStr | None = Field(
        None, min_length=1, description="Secret token of GitLab's webhook: it is required."
    )
    launchdarkly_webhook_secret: SecretStr | None = Field(
        None, min_length=1, description="Secret of LaunchDarkly's webhook: its signature is required."
    )
    flagsmith_webhook_secret: SecretStr | None = Field(
        None, min_length=1, description="Secret of Flagsmith's webhook: its signature is required."
    )
    webhook_mappings: Path | None = Field(
        None, description="YAML file that describes the JSON of further senders of webhooks."
    )
    sns_topic_arns: tuple[TopicArn, ...] = Field(
        (),
        description='Topics of Amazon SNS as a JSON list, such as ["arn:aws:sns:eu-west-1:123456789012:alarms"]. Others'
        " and messages without a valid signature are refused. Empty: no signature is checked.",
    )
    runbook_url: str = Field("", description="Base of the runbook links in alerts.")

    service_graph: Path | None = Field(
        None, description='JSON file of who calls whom: {"checkout": ["payments", "orders-db"], ...}.'
    )

    serve_host: str = "127.0.0.1"
    serve_port: int = Field(3000, ge=1, le=65535)
    public_url: str | None = Field(
        None,
        validate_default=True,
        description="Where people reach the service, such as https://forewarn.example.com: alerts link to it. Unset: "
        "host and port. Required if the service listens on all addresses (0.0.0.0 or ::).",
    )
    max_body_bytes: int = Field(1_000_000, ge=1_000)
    rate_limit_per_s: float = Field(200.0, gt=0, description="Requests a second that one tenant may make.")
    model_refresh_s: float = Field(2.0, gt=0, description="How often to look for a newly promoted model.")

    detectors: tuple[str, ...] = Field(
        (),
        description='Names of the detectors, as a JSON list such as ["zscore", "stream"]; empty: the default set.',
    )
    forecasters: tuple[str, ...] = Field(
        (),
        description='Names of the forecasters, as a JSON list such as ["pool", "auto_arima"]; empty: the default set.',
    )
    time_zone: str = Field(
        "UTC",
        description="IANA name: seasons follow its clock, or the label `time_zone` of a series.",
    )
    alert_budget_per_week: float = Field(5.0, gt=0, description="Bearable false alarms a week, per tenant.")
    alert_budget_by_service: dict[str, Annotated[float, Field(gt=0)]] = Field(
        {}, description='Services with a budget of their own, as JSON: {"checkout": 1, "batch": 20}.'
    )

    @field_validator("queues", mode="before")
    @classmethod
    def _one_or_several(cls, given: object) -> object:
        """One URL, or a JSON list of them."""
        if not isinstance(given, str):
            return given
        if not given.lstrip().startswith("["):
            return (given,)
        try:
            return json.loads(given)
        except ValueError:
            raise ValueError('give one URL, or a JSON list such as ["URL", "URL"]') from None

    @field_validator("archive_url")
    @classmethod
    def _known_place(cls, url: str | None) -> str | None:
        if url is not None:
            archive_place(url)
        return url

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

    @field_validator("public_url")
    @classmethod
    def _reachable(cls, url: str | None, others: ValidationInfo) -> str | None:
        """Every alert links to this address, so it must be one that a browser can open."""
        if url is None:
            host = others.data.get("serve_host", "")
            if is_every_address(host):
                raise ValueError(
                    f"the service listens on all addresses ({host}), and alerts cannot link to that; set the address "
                    "that people open, such as https://forewarn.example.com"
                )
            return None
        try:
            parts = urlsplit(url)
            named = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            named = False
        if not named or is_every_address(parts.hostname or ""):
            raise ValueError(
                f"{url!r} is no address that people can open; give one such as https://forewarn.example.com"
            )
        return url.rstrip("/")

    @property
    def service_url(self) -> str:
        """The address of the service in links, without a slash at the end."""
        host = f"[{self.serve_host}]" if ":" in self.serve_host else self.serve_host
        return self.public_url or f"http://{host}:{self.serve_port}"

    @property
    def service_rule(self) -> ServiceRule:
        """Which labels name the service."""
        return ServiceRule(self.prometheus_service_labels or SERVICE_LABELS)


def is_every_address(host: str) -> bool:
    """Whether a server on this host listens on all addresses of the machine.

    Examples:
        >>> is_every_address("0.0.0.0"), is_every_address("::"), is_every_address("127.0.0.1")
        (True, True, False)
    """
    try:
        return host == "0" or ip_address(host).is_unspecified
    except ValueError:
        return False


def read_settings() -> Settings:
    """The settings of this process.

    Raises:
        ConfigurationError: a variable has a value that is not allowed; the text names each such variable.
    """
    try:
        return Settings()
    except ValidationError as error:
        # Without the values: some are secrets.
        wrong = [
            f"{_PREFIX}{str(one['loc'][0]).upper()}: {one['msg'].removeprefix('Value error, ')}"
            for one in error.errors(include_input=False, include_url=False)
        ]
        raise ConfigurationError("; ".join(wrong)) from None
    except SettingsError as error:
        raise ConfigurationError(
            f"{error}; lists and tables are written as JSON, see docs/operations.md"
        ) from None
