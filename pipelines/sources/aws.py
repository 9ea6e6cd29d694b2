"""Clients of AWS, and their errors as ours. They need the extra `aws`.

boto3 reads credentials where it always does: from the environment, a profile, or the role of the machine.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from core.errors import ConfigurationError, InputError, UnavailableError

#: boto3 repeats a call that is throttled with growing waits.
_ATTEMPTS = 5
_CONNECT_S, _READ_S = 5, 30
_THROTTLED = frozenset(
    {"Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException", "LimitExceeded",
     "LimitExceededException", "ProvisionedThroughputExceededException"}
)  # fmt: skip
_REFUSED = frozenset(
    {
        "AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "InvalidClientTokenId",
        "UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidSignatureException", "ExpiredToken",
        "ExpiredTokenException", "AuthFailure", "OptInRequired", "KMSAccessDeniedException",
    }
)  # fmt: skip


def aws_client(api: str, title: str, *, region: str, endpoint_url: str | None, needed_by: str) -> Any:
    """A client of boto3.

    Args:
        api: the name of the API in boto3.
        title: the name of the API in texts.
        needed_by: what cannot work without boto3.
    Raises:
        ConfigurationError: the extra is not installed.
        InputError: boto3 refuses the region or the profile.
    """
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise ConfigurationError(f"{needed_by} needs boto3: run pip install 'forewarn[aws]'") from None
    config = Config(
        retries={"mode": "standard", "max_attempts": _ATTEMPTS},
        connect_timeout=_CONNECT_S,
        read_timeout=_READ_S,
    )
    try:
        return boto3.client(api, region_name=region, endpoint_url=endpoint_url, config=config)
    except (BotoCoreError, ValueError) as error:
        raise InputError(f"{title} cannot be used: {error}") from error


@contextmanager
def aws_failures(title: str, permission: str) -> Iterator[None]:
    """Errors of boto3 as ours.

    Args:
        title: the name of the API in texts.
        permission: which the calls need, such as `cloudwatch:ListMetrics`.
    """
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

    try:
        yield
    except ClientError as error:
        code, text = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
        if code in _THROTTLED:
            raise UnavailableError(f"{title} throttles the calls: {text}") from error
        if code in _REFUSED:
            raise InputError(
                f"{title} refuses the login or lacks the permission {permission}: {text}"
            ) from error
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
        if status >= 500:
            raise UnavailableError(f"{title} does not answer: {code} {text}") from error
        raise InputError(f"{title} refuses a call ({code}): {text}") from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise InputError(f"{title} needs credentials of AWS: {error}") from error
    except BotoCoreError as error:
        raise UnavailableError(f"{title} does not answer: {error}") from error
