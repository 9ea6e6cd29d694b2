"""Count in the receipt of a request what was stored of it."""

from pipelines.collect.ingest import IngestReport
from pipelines.collect.store_logs import StoredLogs
from pipelines.collect.store_traces import StoredTraces
from pipelines.sources.log_lines import LogRequest
from pipelines.sources.otlp_spans import TraceRequest
from serving.state.intake import Receipt


def count_samples(receipt: Receipt, report: IngestReport) -> None:
    """Samples and rates; the first count of a counter is neither new nor a duplicate, because it has no rate."""
    receipt.new = report.inserted
    receipt.duplicates = report.duplicates
    receipt.rejected = report.rejected


def count_spans(receipt: Receipt, request: TraceRequest, stored: StoredTraces) -> None:
    """Spans; some of the rejected ones could not even be read."""
    late = stored.rejected - request.rejected_spans
    receipt.new = len(request.spans) - stored.repeated - late
    receipt.duplicates = stored.repeated
    receipt.rejected = stored.rejected


def count_lines(receipt: Receipt, request: LogRequest, stored: StoredLogs) -> None:
    """Log lines; those of a request that was stored before are duplicates."""
    if stored.is_repeated:
        receipt.duplicates = len(request.lines)
        return
    receipt.new = len(request.lines) - (stored.rejected - request.rejected_lines)
    receipt.rejected = stored.rejected
