"""Proves that a message comes from Amazon SNS: its signature, the certificate of the signature, and its topic.

Everybody can send valid messages from topics of their own, so only messages of the allowed topics are accepted.

References:
    https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

import base64
import binascii
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from threading import Lock
from urllib.parse import urlsplit

import httpx
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from core.clock import Clock
from core.errors import AuthenticationError, UnavailableError
from pipelines.common.http_deadline import deadline
from pipelines.common.http_retry import HttpRetry, RetryPolicy

CONFIRMATION = "SubscriptionConfirmation"
#: Type of a message -> the fields that are signed, in this order. A field that a message does not have is left out.
_SIGNED_FIELDS: Mapping[str, Sequence[str]] = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    CONFIRMATION: ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": (
        "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type",
    ),
}  # fmt: skip
#: SNS signs with version 1, which is SHA-1, unless the topic is set to version 2.
_HASHES: Mapping[str, Callable[[], hashes.HashAlgorithm]] = {"1": hashes.SHA1, "2": hashes.SHA256}
_HOST = re.compile(r"sns\.[a-z0-9-]{3,30}\.amazonaws\.com(\.cn)?")
_CERTIFICATE_PATH = re.compile(r"/SimpleNotificationService-[A-Za-z0-9]{1,80}\.pem")
#: SNS repeats a message over HTTP for an hour at most (the longest delivery policy), so an older one is a replay.
MAX_AGE = timedelta(hours=1)
#: Amazon has one certificate a region, and replaces it about once a year.
_MAX_CERTIFICATES = 64
_MAX_BYTES = 65_536
_TIMEOUT_S, _TOTAL_S = 3.0, 6.0

#: Reads a URL of Amazon; raises UnavailableError where Amazon does not answer.
Fetch = Callable[[str], bytes]


class SnsVerifier:
    """Verifies messages of the allowed topics, and confirms subscriptions to them. It is thread-safe.

    Args:
        topics: ARNs of the allowed topics.
        fetch: reads a certificate, and opens the URL that confirms a subscription.
    """

    def __init__(self, topics: Sequence[str], clock: Clock, fetch: Fetch | None = None) -> None:
        self._topics = frozenset(topics)
        self._clock = clock
        self._fetch = fetch or fetch_from_amazon
        self._certificates: OrderedDict[str, x509.Certificate] = OrderedDict()
        self._lock = Lock()

    def verify(self, message: Mapping[str, object]) -> None:
        """Check topic, age and signature. This may take seconds, because it may fetch a certificate.

        Raises:
            AuthenticationError: the message is not valid; the text tells why.
            UnavailableError: the certificate cannot be read now.
        """
        if _text(message, "TopicArn") not in self._topics:
            raise AuthenticationError(
                "TopicArn: FOREWARN_SNS_TOPIC_ARNS does not contain the topic of the message"
            )
        signed = signed_text(message)
        algorithm = _HASHES.get(_text(message, "SignatureVersion"))
        if algorithm is None:
            raise AuthenticationError("SignatureVersion: should be 1 or 2")
        try:
            signature = base64.b64decode(_text(message, "Signature"), validate=True)
        except (binascii.Error, ValueError):
            raise AuthenticationError("Signature: should be base64") from None
        self._require_recent(_text(message, "Timestamp"))
        certificate = self._certificate(_text(message, "SigningCertURL"))
        key = certificate.public_key()
        if not isinstance(key, rsa.RSAPublicKey):
            raise AuthenticationError("SigningCertURL: the certificate has no RSA key")
        try:
            key.verify(signature, signed, padding.PKCS1v15(), algorithm())
        except InvalidSignature:
            raise AuthenticationError("Signature: does not match the message") from None

    def confirm(self, message: Mapping[str, object]) -> None:
        """Confirm the subscription that a verified message offers.

        Raises:
            AuthenticationError: its URL does not lead to SNS.
            UnavailableError: SNS does not answer; it sends the message again.
        """
        url = _text(message, "SubscribeURL")
        if not is_sns_address(url):
            raise AuthenticationError("SubscribeURL: is no address of Amazon SNS")
        self._fetch(url)

    def _require_recent(self, timestamp: str) -> None:
        try:
            sent = datetime.fromisoformat(timestamp)
        except ValueError:
            raise AuthenticationError("Timestamp: is no time") from None
        if sent.tzinfo is None or self._clock.now() - sent > MAX_AGE:
            raise AuthenticationError(
                f"Timestamp: the message was sent at {timestamp}, more than an hour ago"
            )

    def _certificate(self, url: str) -> x509.Certificate:
        """The certificate behind a URL; it is fetched once."""
        if not is_sns_address(url) or not _CERTIFICATE_PATH.fullmatch(urlsplit(url).path):
            raise AuthenticationError("SigningCertURL: is no certificate of Amazon SNS")
        with self._lock:
            certificate = self._certificates.get(url)
            if certificate is None:
                try:
                    certificate = x509.load_pem_x509_certificate(self._fetch(url))
                except ValueError:
                    raise AuthenticationError("SigningCertURL: holds no certificate") from None
                self._certificates[url] = certificate
            self._certificates.move_to_end(url)
            while len(self._certificates) > _MAX_CERTIFICATES:
                self._certificates.popitem(last=False)
        if not certificate.not_valid_before_utc <= self._clock.now() <= certificate.not_valid_after_utc:
            raise AuthenticationError("SigningCertURL: the certificate is not valid now")
        return certificate


def signed_text(message: Mapping[str, object]) -> bytes:
    """The text that SNS has signed: name and value of each signed field, each on a line of its own.

    Raises:
        AuthenticationError: the message has no type of SNS, or a field is no text.

    Examples:
        >>> signed_text({"Type": "Notification", "Message": "hello", "MessageId": "1"})
        b'Message\\nhello\\nMessageId\\n1\\nType\\nNotification\\n'
    """
    names = _SIGNED_FIELDS.get(_text(message, "Type"))
    if names is None:
        raise AuthenticationError("Type: is no type of a message of Amazon SNS")
    parts = [f"{name}\n{_text(message, name)}\n" for name in names if message.get(name) is not None]
    # A lone surrogate, which JSON allows, has no UTF-8; SNS never sends one.
    return "".join(parts).encode(errors="replace")


def is_sns_address(url: str) -> bool:
    """Whether a URL leads to Amazon SNS over HTTPS, and to nothing else.

    Examples:
        >>> is_sns_address("https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem")
        True
        >>> is_sns_address("https://sns.evil.com/amazonaws.com"), is_sns_address("http://sns.eu-west-1.amazonaws.com")
        (False, False)
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    # `netloc` also holds a user and a port, so the whole of it has to be the host.
    return parts.scheme == "https" and port is None and _HOST.fullmatch(parts.netloc) is not None


def fetch_from_amazon(url: str) -> bytes:
    """The body behind a URL, of at most 64 KB, within a few seconds. Redirects are not followed.

    Raises:
        UnavailableError: the server does not answer with status 200, or sends more.
    """
    host = urlsplit(url).hostname
    retry = HttpRetry(f"Amazon SNS at {host}", RetryPolicy(repeatable=True))
    try:
        with httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False) as client:
            response = retry.send(lambda: _get(client, url))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UnavailableError(f"{host} does not answer ({type(error).__name__})") from None
    if response.status_code != httpx.codes.OK:
        raise UnavailableError(f"{host} answered HTTP {response.status_code}")
    return response.content


def _get(client: httpx.Client, url: str) -> httpx.Response:
    with (
        deadline(_TOTAL_S) as trace,
        client.stream(
            "GET", url, headers={"Accept-Encoding": "identity"}, extensions={"trace": trace}
        ) as response,
    ):
        read = b""
        for chunk in response.iter_raw():
            read += chunk
            if len(read) > _MAX_BYTES:
                raise UnavailableError(f"{urlsplit(url).hostname} sent more than {_MAX_BYTES} bytes")
    kept = {name: response.headers[name] for name in ("Retry-After", "Date") if name in response.headers}
    return httpx.Response(response.status_code, headers=kept, content=read)


def _text(message: Mapping[str, object], name: str) -> str:
    value = message.get(name, "")
    if not isinstance(value, str):
        raise AuthenticationError(f"{name}: should be a text")
    return value
