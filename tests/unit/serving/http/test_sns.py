"""Messages of Amazon SNS, through admission. A local server stands in for the host of the certificates."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from fakes.sender_bodies import cloudwatch
from fakes.web import post, runtime_with

from core.clock import FixedClock
from core.errors import UnavailableError
from pipelines.sources.sns_messages import SnsVerifier, fetch_from_amazon, is_sns_address, signed_text
from serving.state.runtime import Runtime

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TOPIC = "arn:aws:sns:eu-west-1:000000000000:alarms"
HOST = "https://sns.eu-west-1.amazonaws.com"
CERTIFICATE = f"{HOST}/SimpleNotificationService-0123456789abcdef.pem"
Body = dict[str, Any]


@cache
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(*, first: datetime = NOON - timedelta(days=1), last: datetime = NOON + timedelta(days=1)) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sns.amazonaws.com")])
    built = x509.CertificateBuilder(name, name, key().public_key(), 1, first, last)
    return built.sign(key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@dataclass
class Amazon:
    """A server with one certificate. `fetch` sends what is asked of Amazon to it."""

    url: str = ""
    body: bytes = field(default_factory=pem)
    status: int = 200
    asked: list[str] = field(default_factory=list)

    def fetch(self, url: str) -> bytes:
        assert is_sns_address(url), f"Forewarn asked {url}"
        self.asked.append(url)
        return fetch_from_amazon(self.url + urlsplit(url).path)


@pytest.fixture
def amazon() -> Iterator[Amazon]:
    stand_in = Amazon()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(stand_in.status)
            self.end_headers()
            self.wfile.write(stand_in.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class calls it
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        stand_in.url = f"http://127.0.0.1:{server.server_port}"
        yield stand_in
        server.shutdown()


@pytest.fixture
def runtime(amazon: Amazon) -> Runtime:
    runtime = runtime_with({})
    runtime.sns = SnsVerifier([TOPIC], FixedClock(NOON), amazon.fetch)
    return runtime


def signed(version: str = "2", **changes: object) -> Body:
    """A message that the owner of the certificate has signed."""
    body = cloudwatch(resolved=False) | {"SignatureVersion": version, "SigningCertURL": CERTIFICATE} | changes
    algorithm = {"1": hashes.SHA1, "2": hashes.SHA256}[version]()
    signature = key().sign(signed_text(body), padding.PKCS1v15(), algorithm)
    return body | {"Signature": base64.b64encode(signature).decode()}


def confirmation(**changes: object) -> Body:
    url = f"{HOST}/?Action=ConfirmSubscription&Token=x"
    kind: Body = {
        "Type": "SubscriptionConfirmation",
        "Token": "x",
        "SubscribeURL": url,
        "Message": "You have chosen",
    }
    return signed(**kind | changes)


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("subject", [{}, {"Subject": "ALARM: \u00e4\nx"}, {"Subject": None}])
def test_a_message_with_a_valid_signature_is_stored(runtime: Runtime, version: str, subject: Body) -> None:
    response = post(runtime, "alerts", signed(version, **subject))
    assert (response.status_code, response.json()["incidents"]) == (200, 1), response.text


def test_the_certificate_is_fetched_once(runtime: Runtime, amazon: Amazon) -> None:
    assert [post(runtime, "alerts", signed()).status_code for _ in range(3)] == [200] * 3
    assert amazon.asked == [CERTIFICATE]


WRONG_HOSTS = [
    "http://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
    "https://sns.eu-west-1.amazonaws.com.evil.com/SimpleNotificationService-1.pem",
    "https://sns.evil.com/amazonaws.com/SimpleNotificationService-1.pem",
    "https://evil.com/sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
    "https://sns.eu-west-1.amazonaws.com@evil.com/SimpleNotificationService-1.pem",
    "https://user:pw@sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
    "https://sns.eu-west-1.amazonaws.com:8443/SimpleNotificationService-1.pem",
    "https://sns.eu-west-1.amazonaws.com\\@evil.com/SimpleNotificationService-1.pem",
    "https://bucket.s3.amazonaws.com/SimpleNotificationService-1.pem",
    "https://sns.eu-west-1.amazonaws.org/SimpleNotificationService-1.pem",
    "https://sns.eu.west.amazonaws.com/SimpleNotificationService-1.pem",
    "https://sns.amazonaws.com/SimpleNotificationService-1.pem",
    "https://[::1/SimpleNotificationService-1.pem",
    "",
]
WRONG: dict[str, Body] = {
    **{f"certificate at {url!r}": signed(SigningCertURL=url) for url in WRONG_HOSTS},
    "certificate elsewhere on the host": signed(SigningCertURL=f"{HOST}/?Action=Publish&x=.pem"),
    "certificate in a folder": signed(SigningCertURL=f"{HOST}/x/SimpleNotificationService-1.pem"),
    "certificate is no text": signed(SigningCertURL=["x"]),
    **{
        f"changed {name}": signed() | {name: "2026-03-02T11:59:59Z" if name == "Timestamp" else "x"}
        for name in ("Message", "MessageId", "Timestamp")
    },
    "a subject that was not signed": signed() | {"Subject": "x"},
    "another type": signed() | {"Type": "UnsubscribeConfirmation", "Token": "x", "SubscribeURL": HOST},
    "an unknown type": signed() | {"Type": "Notice"},
    "version 1 for a signature of version 2": signed("2") | {"SignatureVersion": "1"},
    "another version": signed() | {"SignatureVersion": "3"},
    "no version": {k: v for k, v in signed().items() if k != "SignatureVersion"},
    "no signature": {k: v for k, v in signed().items() if k != "Signature"},
    "a signature that is no base64": signed() | {"Signature": "ä"},
    "an empty signature": signed() | {"Signature": ""},
    "a topic of somebody else": signed(TopicArn="arn:aws:sns:eu-west-1:666666666666:alarms"),
    "a replay after an hour": signed(Timestamp="2026-03-02T10:59:59.000Z"),
    "a time without a zone": signed(Timestamp="2026-03-02T12:00:00"),
    "no time": signed(Timestamp="yesterday"),
}


@pytest.mark.parametrize("name", WRONG)
def test_another_message_gets_401(runtime: Runtime, name: str) -> None:
    response = post(runtime, "alerts", WRONG[name])
    assert response.status_code == 401, response.text
    assert response.json()["error"].isprintable()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"no certificate", 401),
        (pem(last=NOON - timedelta(seconds=1)), 401),
        (pem(first=NOON + timedelta(seconds=1)), 401),
        (pem() * 100, 503),  # more than 64 KB
    ],
)
def test_a_certificate_that_proves_nothing_is_refused(
    runtime: Runtime, amazon: Amazon, body: bytes, status: int
) -> None:
    amazon.body = body
    assert post(runtime, "alerts", signed()).status_code == status


def test_sns_sends_again_while_its_certificate_cannot_be_fetched(runtime: Runtime, amazon: Amazon) -> None:
    amazon.status = 500
    assert post(runtime, "alerts", signed()).status_code == 503
    amazon.status = 200
    assert post(runtime, "alerts", signed()).status_code == 200


def test_a_host_that_does_not_answer_is_unavailable() -> None:
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1 does not answer"):
        fetch_from_amazon("http://127.0.0.1:1/x")


def test_a_subscription_to_an_allowed_topic_is_confirmed(runtime: Runtime, amazon: Amazon) -> None:
    body = confirmation()
    response = post(runtime, "alerts", body)
    assert (response.status_code, response.json()["rejected"]) == (200, 0)
    assert amazon.asked == [CERTIFICATE, body["SubscribeURL"]]


@pytest.mark.parametrize(
    "body",
    [
        confirmation(TopicArn="arn:aws:sns:eu-west-1:000000000000:other"),
        confirmation() | {"Token": "y"},
        confirmation(SubscribeURL="https://evil.com/"),
        confirmation() | {"SubscribeURL": f"{HOST}/?Action=ConfirmSubscription&Token=y"},
    ],
    ids=["topic", "token", "host", "changed"],
)
def test_another_subscription_is_not_confirmed(runtime: Runtime, amazon: Amazon, body: Body) -> None:
    assert post(runtime, "alerts", body).status_code == 401
    assert set(amazon.asked) <= {CERTIFICATE}


def test_without_topics_in_the_settings_nothing_is_checked_and_nothing_is_fetched() -> None:
    runtime = runtime_with({})
    assert post(runtime, "alerts", WRONG["no signature"]).status_code == 200
    assert post(runtime, "alerts", confirmation()).json()["rejected"] == 1


def test_other_senders_need_no_signature_of_sns(runtime: Runtime) -> None:
    alert = {"status": "firing", "labels": {"service": "checkout"}, "startsAt": "2026-03-02T12:00:00Z"}
    assert post(runtime, "alerts", {"alerts": [alert]}).status_code == 200
