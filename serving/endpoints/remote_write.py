"""The endpoint that takes metrics of Prometheus by remote_write, and the responses that its protocol demands.

References:
    https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/#response
"""

from http import HTTPStatus

from starlette.responses import Response

from core.intake import PriorityLane
from pipelines.collect.push import store_request
from pipelines.collect.written import written
from pipelines.sources.remote_write import Message
from serving.contract.errors import error_response
from serving.contract.pushes import RemoteWrite
from serving.endpoints.receipts import count_samples
from serving.endpoints.route import PROTOBUF, Call, Route
from serving.state.runtime import Runtime


def take_remote_write(runtime: Runtime, call: Call) -> Response:
    """Store what Prometheus pushed. Prometheus drops a request after a 400 and repeats it after a 429 or 503.

    Returns:
        204; or 400 after the good parts were stored and the bad ones rejected, as the protocol demands. Headers have
        the numbers of what was stored.
    Raises:
        InputError: the body is not a request of remote_write, compressed with snappy; nothing of it is kept.
        UnavailableError: the database does not respond; nothing of the request is kept.
    """
    context = runtime.context(call.tenant_name)
    receiver = context.remote_write
    request = receiver.decode(call.request_as(RemoteWrite).root, Message(call.message))
    if context.platform.settings.golden_signals:
        kept = context.staging.store(receiver.name, request)
        report, stored = kept.report, kept.written
    else:
        describe = context.stored_sidecars().added_to
        report, rejected = store_request(context.platform, receiver, request, describe)
        stored = written(request, rejected)
    count_samples(call.receipt, report)
    headers = {
        "X-Prometheus-Remote-Write-Samples-Written": str(stored.samples),
        "X-Prometheus-Remote-Write-Histograms-Written": str(stored.histograms),
        "X-Prometheus-Remote-Write-Exemplars-Written": "0",  # they are not stored
    }
    if not report.rejected:
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)
    sentence = f"{report.rejected} parts rejected, the others stored; the first: {report.first_rejected}"
    return error_response(HTTPStatus.BAD_REQUEST, sentence, headers)


ROUTE = Route(
    method="POST",
    lane=PriorityLane.METRICS,
    source="remote_write",
    path="/api/v1/write",
    summary="Store the samples that Prometheus pushes by remote_write, version 1 or 2; status 204.",
    handler=take_remote_write,
    request=RemoteWrite,
    media_type=PROTOBUF,
    compressions=("snappy",),
    messages=tuple(Message),
)
