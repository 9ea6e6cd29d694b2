"""Errors in the form that OTLP demands: a Status of gRPC, in the encoding of the request.

References:
    https://opentelemetry.io/docs/specs/otlp/#failures
    https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto
"""

import json
from collections.abc import Mapping

from starlette.responses import Response

from pipelines.sources.protobuf import bytes_field, varint_field

#: Status of HTTP -> code of gRPC. The last one is for all others: INTERNAL.
_CODES: Mapping[int, int] = {400: 3, 401: 16, 404: 5, 408: 4, 409: 9, 413: 8, 415: 3, 429: 8, 503: 14}
_INTERNAL = 13
_PROTOBUF = "application/x-protobuf"


def as_status(error: Response, media_type: str) -> Response:
    """An error response as OTLP demands it. In JSON it keeps the field `error`, which all routes have.

    Args:
        media_type: of the request.
    """
    sentence: str = json.loads(bytes(error.body))["error"]
    code = _CODES.get(error.status_code, _INTERNAL)
    headers = {
        name: value for name, value in error.headers.items() if name not in {"content-type", "content-length"}
    }
    if media_type == _PROTOBUF:
        content = varint_field(1, code) + bytes_field(2, sentence.encode())
        return Response(content, error.status_code, headers, _PROTOBUF)
    fields = {"error": sentence, "code": code, "message": sentence}
    return Response(json.dumps(fields), error.status_code, headers, "application/json")
