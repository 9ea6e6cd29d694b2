"""The calls to Azure Monitor that a pull needs.

References:
    https://learn.microsoft.com/en-us/rest/api/monitor/metrics/list
    https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-client-creds-grant-flow
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import httpx
from pydantic import BaseModel, BeforeValidator, Field, SecretStr, ValidationError

from core.errors import ConfigurationError, InputError, UnavailableError
from pipelines.common.http_retry import HttpRetry, RetryPolicy, body_text
from pipelines.sources.azure_monitor_metrics import AGGREGATIONS, Metric, Resource

API_VERSION = "2018-01-01"
#: Metrics of one call, and series of one metric that is split by dimensions.
MAX_METRICS, MAX_SERIES = 20, 100
#: Steps that Azure has, and how it writes them.
STEPS: Mapping[int, str] = {60: "PT1M", 300: "PT5M", 900: "PT15M", 1_800: "PT30M", 3_600: "PT1H"}
_TIMEOUT_S = 30.0
_POLICY = RetryPolicy(waits_s=(1.0, 2.0, 4.0), patience_s=120.0, repeatable=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureLogin:
    """How to log in: as an application, or with a token that somebody else renews."""

    tenant_id: str | None = None
    client_id: str | None = None
    client_secret: SecretStr | None = None
    bearer_token: SecretStr | None = None
    login_url: str = "https://login.microsoftonline.com"

    def __post_init__(self) -> None:
        if self.bearer_token is None and not (self.tenant_id and self.client_id and self.client_secret):
            raise ConfigurationError(
                "Azure needs a login: set FOREWARN_AZURE_TENANT_ID, FOREWARN_AZURE_CLIENT_ID and"
                " FOREWARN_AZURE_CLIENT_SECRET, or FOREWARN_AZURE_BEARER_TOKEN"
            )


class _Name(BaseModel):
    value: str


def _without_nulls(value: object) -> object:
    return [] if value is None else value


class _Grain(BaseModel):
    grain: str = Field("", validation_alias="timeGrain")


class _Definition(BaseModel):
    name: _Name
    namespace: str = ""
    unit: str = "Unspecified"
    aggregation: str = Field("Average", validation_alias="primaryAggregationType")
    required: bool = Field(False, validation_alias="isDimensionRequired")
    grains: Annotated[list[_Grain], BeforeValidator(_without_nulls)] = Field(
        [], validation_alias="metricAvailabilities"
    )
    dimensions: Annotated[list[_Name], BeforeValidator(_without_nulls)] = []


class _Definitions(BaseModel):
    value: list[_Definition]


class _Dimension(BaseModel):
    name: _Name
    value: str


class _TimeSeries(BaseModel):
    dimensions: Annotated[list[_Dimension], BeforeValidator(_without_nulls)] = Field(
        [], validation_alias="metadatavalues"
    )
    data: Annotated[list[dict[str, object]], BeforeValidator(_without_nulls)] = []


class _Values(BaseModel):
    name: _Name
    series: Annotated[list[_TimeSeries], BeforeValidator(_without_nulls)] = Field(
        [], validation_alias="timeseries"
    )


class _Response(BaseModel):
    value: list[_Values]


class _Token(BaseModel):
    access_token: str


_Body = TypeVar("_Body", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Span:
    """Times to ask for: [start, end) in seconds since 1970, in periods of `step_s`."""

    start: int
    end: int
    step_s: int


@dataclass(frozen=True, slots=True)
class Values:
    """The values of one series in a response.

    Attributes:
        starts: of the periods, in seconds since 1970.
    """

    metric: Metric
    dimensions: Mapping[str, str]
    starts: list[int]
    values: list[float]


class AzureMonitorApi:
    """Azure Monitor, with one login.

    Args:
        url: of the Azure Resource Manager; national clouds have their own.
    """

    def __init__(self, url: str, login: AzureLogin) -> None:
        self._url = _address("FOREWARN_AZURE_ENDPOINT_URL", url)
        self._login = login
        self._login_url = _address("FOREWARN_AZURE_LOGIN_URL", login.login_url)
        given = (login.client_secret, login.bearer_token)
        self._secrets = tuple(one.get_secret_value() for one in given if one is not None)
        self._retry = HttpRetry("Azure Monitor", _POLICY, secrets=self._secrets)
        self._login_retry = HttpRetry("the login of Azure", _POLICY, secrets=self._secrets)
        self._client: httpx.Client | None = None

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Log in, and make calls inside this context.

        Raises:
            InputError: Azure refuses the login.
            UnavailableError: Azure does not answer.
        """
        with httpx.Client(timeout=_TIMEOUT_S) as client:
            client.headers["Authorization"] = f"Bearer {self._token(client)}"
            self._client = client
            try:
                yield
            finally:
                self._client = None

    def definitions(
        self, resource: Resource, step_s: int, split_by: Sequence[str]
    ) -> tuple[list[Metric], int]:
        """The metrics of a resource that have values of this step, and the number of the others.

        Args:
            step_s: one of `STEPS`.
            split_by: dimensions to split a metric by that has them.
        """
        found = self._get(resource, "metricDefinitions", {}, _Definitions)
        wanted = {name.lower() for name in split_by}
        usable = [
            one
            for one in found.value
            if any(grain.grain == STEPS[step_s] for grain in one.grains) and one.aggregation in AGGREGATIONS
        ]
        metrics = [
            Metric(
                resource,
                one.name.value,
                one.namespace,
                one.unit,
                one.aggregation,
                tuple(d.value for d in one.dimensions if one.required or d.value.lower() in wanted),
            )
            for one in usable
        ]
        return metrics, len(found.value) - len(metrics)

    def values(self, metrics: Sequence[Metric], span: Span) -> Iterator[Values]:
        """The values of at most `MAX_METRICS` metrics of one resource, namespace and split."""
        by_name = {one.name: one for one in metrics}
        first = metrics[0]
        query = {
            "metricnames": ",".join(name.replace(",", "%2") for name in by_name),
            "aggregation": ",".join(sorted({one.aggregation for one in metrics})),
            "timespan": f"{_text(span.start)}/{_text(span.end)}",
            "interval": STEPS[span.step_s],
        }
        if first.namespace:
            query["metricnamespace"] = first.namespace
        if first.split_by:
            every = " and ".join(f"{_escaped(name)} eq '*'" for name in first.split_by)
            query |= {"$filter": every, "top": str(MAX_SERIES)}
        for one in self._get(first.resource, "metrics", query, _Response).value:
            metric = by_name.get(one.name.value)
            if metric is not None:
                yield from (_values(metric, series) for series in one.series)

    def _token(self, client: httpx.Client) -> str:
        login = self._login
        if login.bearer_token is not None:
            return login.bearer_token.get_secret_value()
        form = {
            "grant_type": "client_credentials",
            "client_id": login.client_id,
            "client_secret": login.client_secret.get_secret_value() if login.client_secret else "",
            "scope": f"{self._url}/.default",
        }
        address = f"{self._login_url}/{login.tenant_id}/oauth2/v2.0/token"
        response = self._sent(
            self._login_retry, lambda: client.post(address, data=form), "the login of Azure"
        )
        if 400 <= response.status_code < 500:
            raise InputError(
                f"Azure refuses FOREWARN_AZURE_CLIENT_ID and FOREWARN_AZURE_CLIENT_SECRET"
                f" (HTTP {response.status_code}): {body_text(response, self._secrets)}"
            )
        return self._body(response, _Token, "the login of Azure").access_token

    def _get(self, resource: Resource, what: str, query: Mapping[str, str], body: type[_Body]) -> _Body:
        if self._client is None:
            raise RuntimeError("calls to Azure Monitor are made inside connected()")
        client, where = self._client, f"Azure Monitor, asked for {resource.name},"
        address = f"{self._url}{resource.uri}/providers/Microsoft.Insights/{what}"
        parameters = {"api-version": API_VERSION, **query}
        response = self._sent(self._retry, lambda: client.get(address, params=parameters), where)
        status, reason = response.status_code, body_text(response, self._secrets)
        if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            raise InputError(
                f"{where} refuses the login (HTTP {status}); it needs the role Monitoring Reader: {reason}"
            )
        if 400 <= status < 500:
            raise InputError(f"{where} refuses the call (HTTP {status}): {reason}")
        return self._body(response, body, where)

    def _sent(self, retry: HttpRetry, request: Callable[[], httpx.Response], where: str) -> httpx.Response:
        try:
            response = retry.send(request)
        except httpx.TransportError as error:
            raise UnavailableError(f"{where} does not answer ({type(error).__name__})") from error
        if response.status_code >= 500 or response.status_code in {408, 429}:
            reason = body_text(response, self._secrets)
            raise UnavailableError(f"{where} does not answer: HTTP {response.status_code} {reason}")
        return response

    def _body(self, response: httpx.Response, body: type[_Body], where: str) -> _Body:
        try:
            return body.model_validate_json(response.content)
        except ValidationError as error:
            place = ".".join(str(part) for part in error.errors()[0]["loc"]) or "the body"
            # Not the body itself: that of the login contains a token.
            raise UnavailableError(f"{where} sent something unexpected: {place}") from error


def _values(metric: Metric, series: _TimeSeries) -> Values:
    starts: list[int] = []
    values: list[float] = []
    for point in series.data:
        at, value = point.get("timeStamp"), point.get(metric.field)
        # A period without values has its time and no value.
        if isinstance(at, str) and isinstance(value, int | float):
            starts.append(int(datetime.fromisoformat(at).timestamp()))
            values.append(float(value))
    dimensions = {_as_declared(one.name.value, metric.split_by): one.value for one in series.dimensions}
    return Values(metric, dimensions, starts, values)


def _as_declared(name: str, split_by: Sequence[str]) -> str:
    """Responses have dimensions in lower case; definitions have them as people know them."""
    return next((one for one in split_by if one.lower() == name.lower()), name)


def _escaped(name: str) -> str:
    """A dimension in a filter: Azure wants round brackets escaped twice, of which httpx adds the second."""
    return name.replace("(", "%28").replace(")", "%29")


def _text(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _address(setting: str, url: str) -> str:
    try:
        parsed = httpx.URL(url.rstrip("/"))
    except httpx.InvalidURL:
        parsed = httpx.URL()
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise InputError(f"{setting}: should be an address such as https://management.azure.com")
    return str(parsed).rstrip("/")
