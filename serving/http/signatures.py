"""Signatures of webhooks: where the settings have the secret of a sender, its webhooks have to prove that they know it.

`BodyDigests` stands before admission and computes the digest while admission reads the body, so that the body is not
kept twice. `require_signature` checks it when the body is parsed and its sender is known.

References:
    https://developer.pagerduty.com/docs/verifying-webhook-signatures
    https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    https://docs.gitlab.com/user/project/integrations/webhooks/ (secret token)
    https://launchdarkly.com/docs/home/infrastructure/webhooks
    https://docs.flagsmith.com/administration-and-security/platform-configuration/environment-settings
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.datastructures import Headers

from core.errors import AuthenticationError
from core.settings import Settings
from pipelines.sources.webhook_formats.registered import format_of
from pipelines.sources.webhook_formats.webhook_format import Webhook
from serving.contract.pushes import AlertsWebhook, DeploysWebhook
from serving.endpoints.route import Call
from serving.http.admission import App, Scope, Send
from serving.state.limits import Message, Receive
from serving.state.runtime import Runtime

#: Where `BodyDigests` leaves the digests, in the ASGI scope: name of the format -> HMAC-SHA256 of the body.
DIGESTS = "forewarn.digests"


@dataclass(frozen=True, slots=True)
class _Signed:
    """How a sender proves that it knows the secret.

    Attributes:
        header: of the signature, or of the secret itself.
        prefix: of each signature in the header; null: the header is the secret itself.
    """

    header: str
    prefix: str | None


#: Name of the webhook format -> how it is signed. The setting is named in `_secrets`.
_SIGNED: Mapping[str, _Signed] = {
    "pagerduty": _Signed("X-PagerDuty-Signature", "v1="),
    "github": _Signed("X-Hub-Signature-256", "sha256="),
    "gitlab": _Signed("X-Gitlab-Token", None),
    "launchdarkly": _Signed("X-LD-Signature", ""),
    "flagsmith": _Signed("X-Flagsmith-Signature", ""),
}


def _secrets(settings: Settings) -> dict[str, bytes]:
    """Name of the webhook format -> its secret, where one is set."""
    given = {
        "pagerduty": settings.pagerduty_webhook_secret,
        "github": settings.github_webhook_secret,
        "gitlab": settings.gitlab_webhook_token,
        "launchdarkly": settings.launchdarkly_webhook_secret,
        "flagsmith": settings.flagsmith_webhook_secret,
    }
    return {name: secret.get_secret_value().encode() for name, secret in given.items() if secret is not None}


class BodyDigests:
    """ASGI middleware before admission: digests of the bodies of signed webhooks."""

    def __init__(self, app: App, runtime: Runtime) -> None:
        self._app = app
        self._runtime = runtime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/webhooks/"):
            await self._app(scope, receive, send)
            return
        headers = Headers(raw=scope["headers"])
        digests = {
            name: hmac.new(secret, digestmod="sha256")
            for name, secret in _secrets(self._runtime.settings).items()
            if _SIGNED[name].prefix is not None and _SIGNED[name].header in headers
        }
        scope[DIGESTS] = digests

        async def read() -> Message:
            message = await receive()
            for digest in digests.values():
                digest.update(message.get("body", b""))
            return message

        await self._app(scope, read, send)


def require_signature(settings: Settings, scope: Scope, call: Call) -> None:
    """Check the signature of a webhook whose sender has a secret in the settings.

    Raises:
        AuthenticationError: the signature is missing or does not match.
    """
    if isinstance(call.request, DeploysWebhook):
        webhook, body = Webhook.DEPLOYS, call.request.root
    elif isinstance(call.request, AlertsWebhook):
        webhook, body = Webhook.ALERTS, call.request.root
    else:
        return
    secrets = _secrets(settings)
    found = format_of(webhook, body) if secrets else None
    if found is None or found.name not in secrets:
        return
    signed = _SIGNED[found.name]
    given = Headers(raw=scope["headers"]).get(signed.header, "")
    if signed.prefix is None:
        is_valid = hmac.compare_digest(given.encode(), secrets[found.name])
    else:
        digest = scope.get(DIGESTS, {}).get(found.name)
        is_valid = digest is not None and _is_among(given, signed.prefix, digest.hexdigest())
    if not is_valid:
        raise AuthenticationError(
            f"the header {signed.header} is missing or does not match the secret of {found.name} in the settings"
        )


def _is_among(header: str, prefix: str, expected: str) -> bool:
    """Whether one of the signatures is right. A sender sends several while its secret is replaced."""
    wanted = (prefix + expected).encode()
    return any(hmac.compare_digest(one.strip().encode(), wanted) for one in header.split(","))
