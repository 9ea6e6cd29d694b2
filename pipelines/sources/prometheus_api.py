"""The calls to Prometheus's HTTP API that a pull needs: tried again when it stumbles, and clear when it fails."""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import httpx
from pydantic import SecretStr

from core.errors import InputError, UnavailableError

#: Waits between the tries of one call.
RETRY_AFTER_S = (0.5, 1.0, 2.0)
TIMEOUT_S = 60.0

Parameters = list[tuple[str, str | int | float | bool | None]]

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class TooManySamplesError(InputError):
    """One query asked for more than Prometheus is set to load."""


class PrometheusApi:
    """One Prometheus, or what speaks its API (Thanos, Mimir, VictoriaMetrics).

    Args:
        url: its base; a user and a password in it are used to log in and never shown.
        transport: how requests travel; null: over the network.
        sleep: how to wait between tries.
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
        """Calls are made inside; they share connections, which are closed at the end."""
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
        """Names of the metrics that a selector matches in that span."""
        parameters: Parameters = [("match[]", selector) for selector in match]
        parameters += [("start", str(start)), ("end", str(end))]
        answer: list[str] = self._call("GET", "/api/v1/label/__name__/values", parameters)
        return answer

    def types(self) -> Mapping[str, str]:
        """Name -> counter, gauge, histogram, summary or unknown, by what the targets say."""
        answer: dict[str, list[dict[str, str]]] = self._call("GET", "/api/v1/metadata", [])
        return {name: entries[0]["type"] for name, entries in answer.items() if entries}

    def longest_scrape_interval_s(self) -> float | None:
        """The longest of all active targets; null where there are no targets to ask (Thanos, Mimir)."""
        try:
            answer = self._call("GET", "/api/v1/targets", [("state", "active")])
        except InputError:
            return None
        told = [_seconds(target.get("scrapeInterval", "")) for target in answer.get("activeTargets", [])]
        return max((one for one in told if one is not None), default=None)

    def query_range(self, query: str, start: float, end: float, step_s: int) -> list[dict[str, Any]]:
        """The matrix of a range query: [{"metric": labels, "values": [[seconds, text], ...]}, ...].

        Raises:
            TooManySamplesError: it is more than Prometheus loads at once.
        """
        parameters: Parameters = [
            ("query", query),
            ("start", str(start)),
            ("end", str(end)),
            ("step", str(step_s)),
        ]
        answer = self._call("POST", "/api/v1/query_range", parameters)
        if answer.get("resultType") != "matrix":
            raise UnavailableError(f"{self.place} answers a range query with {answer.get('resultType')!r}")
        result: list[dict[str, Any]] = answer["result"]
        return result

    def _call(self, method: Literal["GET", "POST"], path: str, parameters: Parameters) -> Any:
        """The `data` of an answer.

        Raises:
            InputError: Prometheus refuses the question, or us.
            UnavailableError: it does not answer, even when asked again.
        """
        told = ""
        for wait_s in (*RETRY_AFTER_S, None):
            try:
                response = self._send(method, path, parameters)
            except httpx.TransportError as error:
                told = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            else:
                if response.status_code < 500 and response.status_code != httpx.codes.TOO_MANY_REQUESTS:
                    return self._data(response)
                told = f"HTTP {response.status_code} {_told(response)}".strip()
            if wait_s is not None:
                self._sleep(wait_s)
        raise UnavailableError(f"Prometheus at {self.place} does not answer: {told}")

    def _send(self, method: str, path: str, parameters: Parameters) -> httpx.Response:
        if self._client is None:
            raise RuntimeError("calls to Prometheus are made inside connected()")
        if method == "GET":
            return self._client.get(path, params=httpx.QueryParams(parameters))
        # a selector may be longer than an address can be
        return self._client.post(path, data=dict(parameters))

    def _data(self, response: httpx.Response) -> Any:
        told = _told(response)
        if response.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            raise InputError(
                f"Prometheus at {self.place} does not let us in (HTTP {response.status_code}); "
                "check FOREWARN_PROMETHEUS_BEARER_TOKEN or the user and password"
            )
        if "too many samples" in told or "maximum resolution" in told:
            raise TooManySamplesError(f"Prometheus at {self.place} refuses: {told}")
        if response.status_code >= 400:
            raise InputError(
                f"Prometheus at {self.place} refuses (HTTP {response.status_code}): {told or 'no reason given'}"
            )
        try:
            return response.json()["data"]
        except (ValueError, KeyError, TypeError) as error:
            raise UnavailableError(f"what answers at {self.place} is not a Prometheus") from error


def _told(response: httpx.Response) -> str:
    """What Prometheus gives as the reason of a refusal."""
    try:
        body = response.json()
    except ValueError:
        return ""
    return str(body.get("error", "")) if isinstance(body, dict) else ""


def _seconds(duration: str) -> float | None:
    """A Prometheus duration in seconds; null when it is none.

    >>> [_seconds(text) for text in ("15s", "1m30s", "500ms", "often")]
    [15.0, 90.0, 0.5, None]
    """
    parts = re.findall(r"(\d+)(ms|s|m|h|d)", duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        return None
    return sum(int(number) * _UNITS_S[unit] for number, unit in parts)
