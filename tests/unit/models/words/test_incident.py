"""What is named beside the lead of an incident."""

from fakes.signals import make_signal

from models.words.incident import together_with


def test_other_metrics_are_named_once_and_that_of_the_lead_is_not() -> None:
    lead = make_signal(service="shop", metric="error_ratio")
    again = make_signal(service="shop", metric="error_ratio")
    other = make_signal(service="db", metric="latency")
    assert together_with(lead, [again, other, other]) == "together with db latency"
    assert together_with(lead, [again]) == ""
