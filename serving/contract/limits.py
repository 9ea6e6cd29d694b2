"""How many values the JSON of a request holds at most, by its type. This is checked before the JSON is parsed."""

from collections.abc import Mapping

from pydantic import BaseModel

from serving.contract.pushes import MAX_ENTRIES, AlertsWebhook, DeploysWebhook
from serving.contract.requests import (
    MAX_EVIDENCE,
    MAX_HYPOTHESES,
    MAX_POINTS,
    DetectBatchRequest,
    ScoreHypothesesRequest,
)

MOST_VALUES = 20_000
#: Requests that may hold more than `MOST_VALUES`.
MAX_VALUES: Mapping[type[BaseModel], int] = {
    DetectBatchRequest: 4 * MAX_POINTS,
    ScoreHypothesesRequest: 10 * MAX_HYPOTHESES * MAX_EVIDENCE,
    DeploysWebhook: 20 * MAX_ENTRIES,
    AlertsWebhook: 40 * MAX_ENTRIES,
}
