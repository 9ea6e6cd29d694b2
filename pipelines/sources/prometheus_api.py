"""The calls to Prometheus's HTTP API that a pull needs, with retries and clear errors."""

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import httpx
from pydantic import SecretStr

from core.errors import InputError, UnavailableError
from pipelines.common.http_retry import HttpRetry, RetryPolicy, body_text

#: Seconds between the attempts of one call, where the server asks for no other time; and the sum of all waits.
WAITS_S = (0.5, 1.0, 2.0)
PATIENCE_S = 120.0
TIMEOUT_S = 60.0

Parameters = list[tuple[str, str | int | float | bool | None]]

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


#: Words of limits: Prometheus, Thanos, Cortex, Mimir, Grafana Cloud, VictoriaMetrics, Amazon, Google.
_LIMIT = re.compile(
    r"limit|exceed|maximum|too (many|much|large|long|big)|larger than max|more than|memory|timed? ?out|deadline"
    r"|resource_?\s?exhausted",
    re.IGNORECASE,
)
#: A smaller query does not help against these.
_INVALID = re.compile(r"parse error|invalid parameter|unknown function|blocked", re.IGNORECASE)
#: The server has too much to do at once; the same query may succeed later.
_BUSY = re.compile(r"concurren|outstanding requests|too many (requests|queries)|rate limit", re.IGNORECASE)
#: Limits of series. Fewer points do not help against them, but fewer series do.
_TOO_MANY_SERIES = re.compile(
    r"(number of|too many|more than|limit of \d+)[^.;(]{0,40}(?<!per )(?<!per time)(time ?)?series\b"
    r"|series[- ]limit|limit: \d+ series|max(imum)?[- ]?(unique|response|fetched)?[- ]?(time)?-?series",
    re.IGNORECASE,
)

_logger = logging.getLogger("forewarn.sources")


class RefusedQueryError(InputError):
    """The server refuses one query; it may accept others."""


class QueryTooLargeError(RefusedQueryError):
    """A query asks for more than the server loads at once.

    Attributes:
        too_many_series: whether it asks for too many series; else it asks for too long a time.
    """

    def __init__(self, text: str, *, too_many_series: bool = False) -> None:
        super().__init__(text)
        self.too_many_series = too_many_series


@dataclass(frozen=True, slots=True)
class Login:
    """How to log in: with a bearer token, or with a user name and a password. Nothing: without a login."""

    username: str | None = None
    password: SecretStr | None = None
    bearer_token: SecretStr | None = None


class PrometheusApi:
    """One Prometheus, or a server with the same API (Thanos, Mimir, VictoriaMetrics).

    Args:
        url: base address; it may contain a user and a password, which are never shown. `login` takes precedence.
        transport: for tests; null: the network.
        sleep: waits between attempts.
    """

    def __init__(
        self,
        url: str,
        *,
        login: Login = Login(),
        timeout_s: float = TIMEOUT_S,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        try:
            parsed = httpx.URL(url.rstrip("/"))
        except httpx.InvalidURL as error:
            raise InputError(f"{url!r} is not the address of a Prometheus") from error
        if parsed.scheme not in {"http", "https"} or not parsed.host:
            raise InputError("the address of a Prometheus starts with http:// or https:// and a host")
        self.place = str(parsed.copy_with(username=None, password=None))
        token = login.bearer_token
        user = login.username or parsed.username
        secret = login.password.get_secret_value() if login.password else parsed.password
        self._headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
        self._auth = (user, secret) if user and not token else None
        self._timeout_s = timeout_s
        self._transport = transport
        policy = RetryPolicy(
            waits_s=WAITS_S,
            patience_s=PATIENCE_S,
            repeatable=True,
            is_final=lambda response: is_too_large(response.status_code, body_text(response)),
        )
        self._retry = HttpRetry(f"Prometheus at {self.place}", policy, sleep=sleep)
        self._client: httpx.Client | None = None

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Make calls inside this context. They share connections, which are closed at its end."""
        with httpx.Client(
            base_url=self.place,
            auth=self._auth,
            headers=self._headers,
            timeout=self._timeout_s,
            transport=self._transport,
            trust_env=False,
        ) as client:
            self._client = client
            try:
                yield
            finally:
                self._client = None

    def __repr__(self) -> str:
        return f"PrometheusApi({self.place!r})"

    def names(self, match: Sequence[str], start: float, end: float) -> list[str]:
        """The names of the metrics that a selector matches in that span.

        Raises:
            QueryTooLargeError: the server searches no span so long.
        """
        parameters: Parameters = [("match[]", selector) for selector in match]
        parameters += [("start", str(start)), ("end", str(end))]
        return _texts(self._call("GET", "/api/v1/label/__name__/values", parameters))

    def series(self, selectors: Sequence[str], start: float, end: float) -> list[Mapping[str, str]]:
        """The labels of all series that a selector matches in that span."""
        parameters: Parameters = [("match[]", selector) for selector in selectors]
        found = self._call("GET", "/api/v1/series", [*parameters, ("start", str(start)), ("end", str(end))])
        return [labels for labels in found if isinstance(labels, dict)] if isinstance(found, list) else []

    def labels(self, selector: str, start: float, end: float) -> list[str]:
        """The names of the labels of all series that a selector matches in that span."""
        parameters: Parameters = [("match[]", selector), ("start", str(start)), ("end", str(end))]
        return _texts(self._call("GET", "/api/v1/labels", parameters))

    def label_values(self, selector: str, start: float, end: float) -> Mapping[str, list[str]]:
        """Label -> its values, of all series that a selector matches in that span."""
        parameters: Parameters = [("match[]", selector), ("start", str(start)), ("end", str(end))]
        return {
            label: _texts(self._call("GET", f"/api/v1/label/{label}/values", parameters))
            for label in self.labels(selector, start, end)
            if label != "__name__" and label.isidentifier()
        }

    def types(self) -> Mapping[str, str]:
        """Metric name -> type that the targets declare: counter, gauge, histogram, summary or unknown.

        Empty where the server does not tell types: some servers have no metadata, and a pull works without.
        """
        entries_by_name = self._call_optional("/api/v1/metadata", [])
        if not isinstance(entries_by_name, dict):
            return {}
        types = {
            name: entries[0].get("type")
            for name, entries in entries_by_name.items()
            if isinstance(entries, list) and entries and isinstance(entries[0], dict)
        }
        return {name: kind for name, kind in types.items() if isinstance(kind, str)}

    def longest_scrape_interval_s(self) -> float | None:
        """The longest interval of all active targets; null where the server has no targets (Thanos, Mimir)."""
        targets = self._call_optional("/api/v1/targets", [("state", "active")])
        active = targets.get("activeTargets") if isinstance(targets, dict) else None
        intervals = [
            _seconds(str(one.get("scrapeInterval", ""))) for one in active or () if isinstance(one, dict)
        ]
        return max((interval for interval in intervals if interval is not None), default=None)

    def query_range(self, query: str, start: float, end: float, step_s: int) -> list[dict[str, Any]]:
        """The matrix of a range query: [{"metric": labels, "values": [[seconds, text], ...]}, ...].

        Raises:
            QueryTooLargeError: the query asks for more than the server loads at once.
            RefusedQueryError: the server refuses the query for another reason.
        """
        parameters: Parameters = [
            ("query", query),
            ("start", str(start)),
            ("end", str(end)),
            ("step", str(step_s)),
        ]
        data = self._call("POST", "/api/v1/query_range", parameters)
        if not isinstance(data, dict) or data.get("resultType") != "matrix":
            kind = data.get("resultType") if isinstance(data, dict) else data
            raise UnavailableError(f"{self.place} sent {kind!r} for a range query")
        matrix: list[dict[str, Any]] = data.get("result") or []
        return matrix

    def _call_optional(self, path: str, parameters: Parameters) -> Any:
        """The `data` of a response; null where the server does not have that call, or fails at it."""
        try:
            return self._call("GET", path, parameters)
        except (RefusedQueryError, UnavailableError) as error:
            _logger.info("a pull goes on without %s: %s", path, error)
            return None

    def _call(self, method: Literal["GET", "POST"], path: str, parameters: Parameters) -> Any:
        """The `data` of a response.

        Raises:
            InputError: the server refuses the query or the login.
            UnavailableError: it does not respond, even after retries.
        """
        try:
            response = self._retry.send(lambda: self._send(method, path, parameters))
        except httpx.TransportError as error:
            reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise UnavailableError(f"Prometheus at {self.place} does not answer: {reason}") from error
        return self._data(response)

    def _send(self, method: str, path: str, parameters: Parameters) -> httpx.Response:
        if self._client is None:
            raise RuntimeError("calls to Prometheus are made inside connected()")
        if method == "GET":
            return self._client.get(path, params=httpx.QueryParams(parameters))
        # a selector can be longer than the longest URL
        return self._client.post(path, data=dict(parameters))

    def _data(self, response: httpx.Response) -> Any:
        status, reason = response.status_code, body_text(response)
        refused = f"Prometheus at {self.place} refuses (HTTP {status}): {reason or 'no reason given'}"
        if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            raise InputError(
                f"Prometheus at {self.place} refuses the login (HTTP {status}); "
                f"check FOREWARN_PROMETHEUS_BEARER_TOKEN or the user and password: {reason or 'no reason given'}"
            )
        if status >= 400 and _BUSY.search(reason):
            raise UnavailableError(f"Prometheus at {self.place} is busy: HTTP {status} {reason}")
        if is_too_large(status, reason):
            raise QueryTooLargeError(refused, too_many_series=bool(_TOO_MANY_SERIES.search(reason)))
        if status >= 500 and status != httpx.codes.NOT_IMPLEMENTED:
            raise UnavailableError(
                f"Prometheus at {self.place} does not answer: HTTP {status} {reason}".strip()
            )
        if status >= 400:
            raise RefusedQueryError(refused)
        try:
            return response.json()["data"]
        except (ValueError, KeyError, TypeError) as error:
            raise UnavailableError(
                f"the server at {self.place} is not a Prometheus: it sent {reason[:80] or 'nothing'!r}"
            ) from error


def is_too_large(status: int, reason: str) -> bool:
    """Whether an error tells that a query asks for too much at once, so that a smaller one may succeed.

    Each vendor words its limits differently, so words decide only for those statuses that have other meanings too.

    Examples:
        >>> is_too_large(422, "query processing would load too many samples into memory in query execution")
        True
        >>> is_too_large(503, "query timed out in expression evaluation"), is_too_large(503, "shutting down")
        (True, False)
        >>> is_too_large(400, 'invalid parameter "query": 1:8: parse error: unexpected end of input')
        False
    """
    if _BUSY.search(reason):
        return False
    if status in {httpx.codes.REQUEST_ENTITY_TOO_LARGE, httpx.codes.UNPROCESSABLE_ENTITY}:
        return not _INVALID.search(reason)
    if status == httpx.codes.BAD_REQUEST or status >= 500:
        return bool(_LIMIT.search(reason)) and not _INVALID.search(reason)
    return False


def _texts(data: Any) -> list[str]:
    return [text for text in data if isinstance(text, str)] if isinstance(data, list) else []


def _seconds(duration: str) -> float | None:
    """A Prometheus duration in seconds; null when the text is not a duration.

    Examples:
        >>> [_seconds(text) for text in ("15s", "1m30s", "500ms", "often")]
        [15.0, 90.0, 0.5, None]
    """
    parts = re.findall(r"(\d+)(ms|s|m|h|d)", duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        return None
    return sum(int(number) * _UNITS_S[unit] for number, unit in parts)
