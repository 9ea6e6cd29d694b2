"""The calls to Prometheus's HTTP API that a pull needs, with retries and clear errors."""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import httpx
from pydantic import SecretStr

from core.errors import InputError, UnavailableError

#: Seconds between the attempts of one call.
RETRY_AFTER_S = (0.5, 1.0, 2.0)
TIMEOUT_S = 60.0

Parameters = list[tuple[str, str | int | float | bool | None]]

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class TooManySamplesError(InputError):
    """A query asked for more samples than Prometheus is configured to load."""


class PrometheusApi:
    """One Prometheus, or a server with the same API (Thanos, Mimir, VictoriaMetrics).

    Args:
        url: base address; it may contain a user and a password, which are never shown.
        transport: for tests; null: the network.
        sleep: waits between attempts.
    """

    def __init__(
        self,
        url: str,
        *,
        bearer_token: SecretStr | None = None,
        username: str | None = None,
        password: SecretStr | None = None,
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
        user, secret = (
            username or parsed.username,
            password.get_secret_value() if password else parsed.password,
        )
        headers = {"Authorization": f"Bearer {bearer_token.get_secret_value()}"} if bearer_token else {}
        self._auth = (user, secret) if user and not bearer_token else None
        self._headers = headers
        self._timeout_s = timeout_s
        self._transport = transport
        self._sleep = sleep
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
        """The names of the metrics that a selector matches in that span."""
        parameters: Parameters = [("match[]", selector) for selector in match]
        parameters += [("start", str(start)), ("end", str(end))]
        names: list[str] = self._call("GET", "/api/v1/label/__name__/values", parameters)
        return names

    def types(self) -> Mapping[str, str]:
        """Metric name -> type that the targets declare: counter, gauge, histogram, summary or unknown."""
        entries_by_name: dict[str, list[dict[str, str]]] = self._call("GET", "/api/v1/metadata", [])
        return {name: entries[0]["type"] for name, entries in entries_by_name.items() if entries}

    def longest_scrape_interval_s(self) -> float | None:
        """The longest interval of all active targets; null where the server has no targets (Thanos, Mimir)."""
        try:
            targets = self._call("GET", "/api/v1/targets", [("state", "active")])
        except InputError:
            return None
        intervals = [_seconds(one.get("scrapeInterval", "")) for one in targets.get("activeTargets", [])]
        return max((interval for interval in intervals if interval is not None), default=None)

    def query_range(self, query: str, start: float, end: float, step_s: int) -> list[dict[str, Any]]:
        """The matrix of a range query: [{"metric": labels, "values": [[seconds, text], ...]}, ...].

        Raises:
            TooManySamplesError: the query asks for more than Prometheus loads at once.
        """
        parameters: Parameters = [
            ("query", query),
            ("start", str(start)),
            ("end", str(end)),
            ("step", str(step_s)),
        ]
        data = self._call("POST", "/api/v1/query_range", parameters)
        if data.get("resultType") != "matrix":
            raise UnavailableError(f"{self.place} answers a range query with {data.get('resultType')!r}")
        matrix: list[dict[str, Any]] = data["result"]
        return matrix

    def _call(self, method: Literal["GET", "POST"], path: str, parameters: Parameters) -> Any:
        """The `data` of a response.

        Raises:
            InputError: Prometheus refuses the query or the login.
            UnavailableError: it does not answer, even after retries.
        """
        reason = ""
        for wait_s in (*RETRY_AFTER_S, None):
            try:
                response = self._send(method, path, parameters)
            except httpx.TransportError as error:
                reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            else:
                if response.status_code < 500 and response.status_code != httpx.codes.TOO_MANY_REQUESTS:
                    return self._data(response)
                reason = f"HTTP {response.status_code} {_reason(response)}".strip()
            if wait_s is not None:
                self._sleep(wait_s)
        raise UnavailableError(f"Prometheus at {self.place} does not answer: {reason}")

    def _send(self, method: str, path: str, parameters: Parameters) -> httpx.Response:
        if self._client is None:
            raise RuntimeError("calls to Prometheus are made inside connected()")
        if method == "GET":
            return self._client.get(path, params=httpx.QueryParams(parameters))
        # a selector can be longer than the longest URL
        return self._client.post(path, data=dict(parameters))

    def _data(self, response: httpx.Response) -> Any:
        reason = _reason(response)
        if response.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            raise InputError(
                f"Prometheus at {self.place} refuses the login (HTTP {response.status_code}); "
                "check FOREWARN_PROMETHEUS_BEARER_TOKEN or the user and password"
            )
        if "too many samples" in reason or "maximum resolution" in reason:
            raise TooManySamplesError(f"Prometheus at {self.place} refuses: {reason}")
        if response.status_code >= 400:
            raise InputError(
                f"Prometheus at {self.place} refuses (HTTP {response.status_code}): {reason or 'no reason given'}"
            )
        try:
            return response.json()["data"]
        except (ValueError, KeyError, TypeError) as error:
            raise UnavailableError(f"the server at {self.place} is not a Prometheus") from error


def _reason(response: httpx.Response) -> str:
    """The reason that Prometheus gives for an error; "" where it gives none."""
    try:
        body = response.json()
    except ValueError:
        return ""
    return str(body.get("error", "")) if isinstance(body, dict) else ""


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
