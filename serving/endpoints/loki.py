"""The endpoint that takes log lines as Promtail, Alloy, Vector and others push them to Loki."""

from starlette.responses import Response

from core.errors import InputError
from core.intake import PriorityLane
from pipelines.collect.store_logs import store_logs
from pipelines.sources.loki_push import read_json_push, read_protobuf_push
from pipelines.sources.otlp import decompressed
from serving.contract.pushes import LokiJson, LokiPush
from serving.endpoints.receipts import count_lines
from serving.endpoints.route import JSON, PROTOBUF, Call, Route
from serving.state.runtime import Runtime


def take_loki(runtime: Runtime, call: Call) -> Response:
    """Count the lines of a request. Senders drop it after an InputError and repeat it after a 429 or a 503.

    Raises:
        InputError: the body is no push of Loki; or some of its lines were rejected, after the rest was counted.
        UnavailableError: the database does not respond; nothing of the request is kept.
    """
    context = runtime.context(call.tenant_name)
    body = call.request_as(LokiPush).root
    if call.media_type == JSON:
        if call.compression == "snappy":
            raise InputError("JSON should be compressed with gzip, or not at all")
        if call.compression == "gzip":
            body = decompressed(body)
        request = read_json_push(body, context.services)
    else:
        if call.compression == "gzip":
            raise InputError("protobuf should be compressed with snappy")
        # Promtail compresses it without a word in the headers
        request = read_protobuf_push(body, context.services)
    stored = store_logs(context.platform, request)
    count_lines(call.receipt, request, stored)
    if stored.rejected:
        raise InputError(
            f"{stored.rejected} lines rejected, the others counted; the first: {stored.first_rejected}"
        )
    return Response(status_code=204)


ROUTE = Route(
    method="POST",
    lane=PriorityLane.BACKGROUND,
    source="loki",
    path="/loki/api/v1/push",
    summary="Count the log lines that are pushed by Loki's protocol, by service and level; status 204.",
    handler=take_loki,
    request=LokiPush,
    media_type=PROTOBUF,
    json_form=LokiJson,
    compressions=("identity", "gzip", "snappy"),
)
