"""The service as its callers see it: started as a process, asked over HTTP, with two tenants and real models."""

import hmac
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event as Flag
from typing import Any

import httpx
import pytest
from e2e.fleet import BASE_RATES, DAYS, PAGERDUTY_SECRET, STEP, Fleet, series_of


def observation(
    fleet: Fleet, tenant: str = "acme", value: float | None = 0.2, **changes: Any
) -> dict[str, Any]:
    series = fleet.series[tenant][0]
    return {
        "service": series.service,
        "metric": series.metric,
        "ts": fleet.now.isoformat(),
        "value": value,
    } | changes


def ok(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_value_as_usual_is_no_anomaly_and_one_far_off_is(fleet: Fleet) -> None:
    with fleet.client() as client:
        usual, odd = (
            ok(client.post("/detect", json={"observations": [observation(fleet, value=value)]}))["results"][0]
            for value in (0.2, 0.9)
        )
    assert not usual["is_anomaly"]
    assert usual["band"]["lower"] <= 0.2 <= usual["band"]["upper"]
    assert odd["is_anomaly"]
    assert odd["suppressed_by"] is None
    assert odd["score"] > usual["score"]
    assert {view["detector"] for view in odd["detectors"]} >= {"zscore", "mad", "isolation_forest"}


def test_several_values_of_several_series_are_answered_in_order(fleet: Fleet) -> None:
    latency, disk = fleet.series["acme"]
    observations = [
        observation(fleet, value=0.21),
        {"series_id": disk.series_id, "ts": fleet.now.isoformat(), "value": 5e8},
        observation(fleet, value=None, ts=(fleet.now - STEP / 2).isoformat()),
    ]
    with fleet.client() as client:
        results = ok(client.post("/detect", json={"observations": observations}))["results"]
    assert [(one["series_id"], one["value"]) for one in results] == [
        (latency.series_id, 0.21),
        (disk.series_id, 5e8),
        (latency.series_id, None),
    ]
    assert results[2]["score"] is None


def test_many_series_at_once(fleet: Fleet) -> None:
    points = [{"ts": (fleet.now - STEP * n).isoformat(), "value": 0.2} for n in range(200)]
    body = {"series": [{"series_id": one.series_id, "points": points} for one in fleet.series["acme"]]}
    with fleet.client() as client:
        answer = ok(client.post("/detect_batch", json=body))
    assert len(answer["results"]) == 400
    assert answer["model"]["name"] == "acme.detector"


def test_a_forecast_has_intervals_that_enclose_each_other(fleet: Fleet) -> None:
    disk = fleet.series["acme"][1]
    body = {
        "service": "checkout",
        "metric": "disk_used_bytes",
        "labels": {"mount": "/data"},
        "horizon_s": 10_800,
    }
    with fleet.client() as client:
        answer = ok(client.post("/forecast", json=body))
    assert (answer["series_id"], answer["threshold"]) == (disk.series_id, 1e9)
    assert len(answer["points"]) == 3
    for point in answer["points"]:
        (low80, high80), (low95, high95) = point["intervals"]["0.8"], point["intervals"]["0.95"]
        assert low95 <= low80 <= point["yhat"] <= high80 <= high95


def test_a_series_that_the_forecaster_has_not_learned_is_a_conflict(fleet: Fleet) -> None:
    with fleet.client() as client:
        answer = client.post("/forecast", json={"service": "checkout", "metric": "latency_p99_seconds"})
    assert answer.status_code == 409
    assert "has not learned" in answer.json()["error"]


def test_a_failure_is_predicted_from_the_features_online(fleet: Fleet) -> None:
    with fleet.client() as client:
        results = ok(client.post("/predict_failure", json={"services": ["checkout", "nobody"]}))["results"]
    assert results[0]["risk"]["probability_by_horizon_s"] == {
        str(key): rate for key, rate in BASE_RATES.items()
    }
    assert results[0]["features_at"] is not None
    assert results[1]["risk"] is None
    assert "no features" in results[1]["note"]


def test_hypotheses_are_weighed(fleet: Fleet) -> None:
    at = fleet.now.isoformat()
    evidence = [
        {"kind": "symptom", "source": "forewarn", "at": at, "text": "slow", "deviation_sigma": 4.0},
        {
            "kind": "deploy",
            "source": "argo",
            "at": (fleet.now - timedelta(minutes=2)).isoformat(),
            "text": "2.3.1",
        },
    ]
    hypotheses = [
        {"service": "checkout", "cause": "traffic", "statement": "more visitors"},
        {
            "service": "checkout",
            "cause": "deploy",
            "statement": "bad deploy",
            "evidence": evidence,
            "precedents": 4,
        },
    ]
    with fleet.client() as client:
        answer = ok(client.post("/score_hypotheses", json={"hypotheses": hypotheses}))
    first = answer["ranked"][0]
    assert first["hypothesis"]["statement"] == "bad deploy"
    assert first["low"] <= first["confidence"] <= first["high"]
    assert len(first["factors"]) == 5
    assert answer["model"]["run_id"]


def test_signals_come_page_by_page_and_by_kind(fleet: Fleet) -> None:
    with fleet.client() as client:
        seen, cursor = list[str](), None
        while True:
            page = ok(client.get("/signals", params={"limit": 3} | ({"cursor": cursor} if cursor else {})))
            seen += [signal["signal_id"] for signal in page["signals"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        breaches = ok(client.get("/signals?kind=breach"))["signals"]
        one = ok(client.get(f"/signals?id={seen[3]}"))["signals"]
        assert client.get("/signals?id=0123").status_code == 404
    assert [signal["signal_id"] for signal in one] == [seen[3]]
    assert len(seen) == len(set(seen)) == 7
    assert {signal["kind"] for signal in breaches} == {"breach"}


def test_an_event_told_twice_is_one(fleet: Fleet) -> None:
    event = {"service": "checkout", "kind": "deploy", "at": fleet.now.isoformat(), "version": "2.3.1"}
    with fleet.client() as client:
        first, again = (ok(client.post("/events", json={"events": [event]})) for _ in range(2))
    assert (first, again) == ({"received": 1, "new": 1}, {"received": 1, "new": 0})
    store = fleet.tenancy.platform("acme").store
    assert [found.version for found in store.events.between(fleet.now - STEP, fleet.now + STEP)] == ["2.3.1"]
    assert fleet.tenancy.platform("globex").store.events.between(fleet.now - STEP, fleet.now + STEP) == []


def test_webhooks_become_events_and_incidents_and_what_makes_no_sense_is_counted(fleet: Fleet) -> None:
    at = (fleet.now - timedelta(hours=3)).isoformat()
    alert = {"status": "firing", "labels": {"alertname": "Errors", "service": "checkout"}, "startsAt": at}
    with fleet.client() as client:
        deploys = ok(
            client.post("/webhooks/deploys", json=[{"service": "checkout", "at": at}, {"at": "never"}])
        )
        alerts = ok(client.post("/webhooks/alerts", json={"alerts": [alert]}))
        assert client.post("/webhooks/alerts", json={}).status_code == 400
    assert deploys == {"events": 1, "incidents": 0, "rejected": 1}
    assert alerts == {"events": 0, "incidents": 1, "rejected": 0}
    assert fleet.tenancy.platform("acme").store.dead_letters.count() >= 1


def test_feedback_is_kept_and_only_on_signals_of_ones_own(fleet: Fleet) -> None:
    with fleet.client() as client, fleet.client("globex") as stranger:
        signal_id = ok(client.get("/signals?limit=1"))["signals"][0]["signal_id"]
        old = {"signal_id": signal_id, "real": True, "who": "ada"}
        body = {"signal_id": signal_id, "value": "false_positive", "by": "ada", "note": "a load test"}
        assert "deprecation" in client.post("/feedback", json=old).headers
        response = client.post("/feedback", json=body)
        assert ok(response) == {"subject_id": signal_id, "value": "false_positive", "signal_id": signal_id}
        assert "deprecation" not in response.headers
        assert stranger.post("/feedback", json=body).status_code == 404
    kept = fleet.tenancy.platform("acme").store.feedback.list([signal_id])
    assert [(one.value, one.by) for one in kept] == [("true_positive", "ada"), ("false_positive", "ada")]


def test_the_probes_the_docs_and_the_console_answer_without_a_key(fleet: Fleet) -> None:
    for path in ("/livez", "/readyz", "/docs.json", "/docs", "/docs/swagger-ui.css", "/", "/console.js"):
        answer = httpx.get(fleet.url + path, trust_env=False)
        assert answer.status_code == 200, path
        # Nothing is fetched from elsewhere, so that the pages work offline and tell nobody.
        if "html" in answer.headers["content-type"]:
            assert re.findall(r'(?:src|href)="(?:https?:)?//', answer.text) == []
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_metrics_without_a_key_name_no_tenant_and_no_series(fleet: Fleet) -> None:
    text = httpx.get(f"{fleet.url}/metrics", trust_env=False).text
    assert "forewarn_http_requests_total" in text
    for secret in ("acme", "globex", "checkout", "shipping", "anomaly_score", *fleet.keys.values()):
        assert secret not in text


def test_metrics_with_a_key_show_that_tenants_scores(fleet: Fleet) -> None:
    with fleet.client() as client:
        text = client.get("/metrics").text
    for name in ("anomaly_score", "yhat", "yhat_lower", "yhat_upper"):
        assert f'{name}{{for="latency_p99_seconds",service="checkout"}}' in text
    assert "shipping" not in text


def test_nothing_of_one_tenant_is_visible_to_another(fleet: Fleet) -> None:
    theirs, disk = fleet.series["acme"]
    by_id = {"series_id": theirs.series_id, "ts": fleet.now.isoformat(), "value": 0.2}
    with fleet.client("globex") as client:
        asked = {
            "/detect": {"observations": [by_id]},
            "/detect_batch": {
                "series": [{"series_id": theirs.series_id, "points": [{"ts": by_id["ts"], "value": 0.2}]}]
            },
            "/forecast": {"series_id": disk.series_id},
        }
        for path, body in asked.items():
            answer = client.post(path, json=body)
            assert answer.status_code == 404, path
            assert "checkout" not in answer.text
        by_name = client.post("/detect", json={"observations": [observation(fleet)]})
        assert by_name.status_code == 404
        assert client.post("/predict_failure", json={"services": ["checkout"]}).status_code == 409
        assert {one["tenant"] for one in ok(client.get("/signals"))["signals"]} == {"globex"}
        own = ok(client.post("/detect", json={"observations": [observation(fleet, "globex")]}))
        assert own["model"]["name"] == "globex.detector"
        assert all(
            model["name"].startswith("globex.") for model in ok(client.get("/models"))["models"].values()
        )


def test_a_tenant_without_models_is_told_so(fleet: Fleet) -> None:
    store = fleet.tenancy.platform("empty").store
    store.series.register(series_of("empty", "nothing"))
    body = {"service": "nothing", "metric": "latency_p99_seconds", "ts": fleet.now.isoformat(), "value": 1.0}
    with fleet.client("empty") as client:
        answer = client.post("/detect", json={"observations": [body]})
    assert answer.status_code == 409
    assert "no champion" in answer.json()["error"]


def test_requests_of_many_tenants_at_once_each_get_their_own_answer(fleet: Fleet) -> None:
    def ask(number: int) -> None:
        tenant = ("acme", "globex")[number % 2]
        with fleet.client(tenant) as client:
            for step in range(20):
                value = 0.2 + (number * 20 + step) / 1e6
                answer = ok(
                    client.post("/detect", json={"observations": [observation(fleet, tenant, value)]})
                )
                assert answer["model"]["name"] == f"{tenant}.detector"
                assert [point["value"] for point in answer["results"]] == [value]

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(ask, range(12)))


def test_a_promoted_version_takes_over_without_a_dropped_request(fleet: Fleet) -> None:
    refs = [fleet.register_detector("acme", seed) for seed in (2, 3)]
    stop = Flag()

    def ask(_: int) -> list[tuple[int, str]]:
        seen: list[tuple[int, str]] = []
        with fleet.client() as client:
            while not stop.is_set():
                model = ok(client.post("/detect", json={"observations": [observation(fleet)]}))["model"]
                seen.append((model["version"], model["run_id"]))
        return seen

    with ThreadPoolExecutor(8) as pool, fleet.client() as client:
        asking = [pool.submit(ask, number) for number in range(8)]
        try:
            for ref in refs:
                fleet.tenancy.platform("acme").registry.promote(ref)
                deadline = time.monotonic() + 30
                while ok(client.get("/models"))["models"]["detector"]["version"] != ref.version:
                    assert time.monotonic() < deadline, "the promoted version was not picked up"
                    time.sleep(0.05)
        finally:
            stop.set()
        answers = [one.result() for one in asking]
    known = {(ref.version, ref.run_id) for ref in refs}
    for seen in answers:
        assert seen == sorted(seen, key=lambda one: one[0]), (
            "an answer came from an older version than the one before"
        )
        assert seen[-1] in known | {seen[0]}
    assert {version for seen in answers for version, _ in seen} >= {refs[0].version}


def test_the_log_holds_no_key_no_password_and_no_query(fleet: Fleet) -> None:
    with fleet.client() as client:
        ok(client.get("/signals?service=needle-in-the-query"))
    log = fleet.service.log.read_text()
    assert "GET /signals 200" in log
    for secret in (*fleet.keys.values(), "needle-in-the-query", "postgresql://", "password"):
        assert secret not in log


@pytest.mark.parametrize("days", [DAYS - 1])
def test_values_of_the_past_can_be_judged_again(fleet: Fleet, days: int) -> None:
    at = fleet.now - timedelta(days=days)
    with fleet.client() as client:
        answer = ok(client.post("/detect", json={"observations": [observation(fleet, ts=at.isoformat())]}))
    assert answer["results"][0]["score"] is not None


def test_refused_rows_are_listed_for_their_own_tenant_only(fleet: Fleet) -> None:
    body = [{"service": "checkout", "at": "not at all", "title": "a row for dead_letters"}]
    with fleet.client("acme") as acme, fleet.client("globex") as globex:
        assert ok(acme.post("/webhooks/deploys", json=body))["rejected"] == 1
        query = {"source": "webhook:deploys", "reason": "AT:"}
        found = ok(acme.get("/dead_letters", params=query))
        assert any("a row for dead_letters" in one["row"] for one in found["rows"])
        assert sum(one["count"] for one in found["groups"]) >= 1
        assert "a row for dead_letters" not in globex.get("/dead_letters", params=query).text
        assert acme.get("/dead_letters?limit=1001").status_code == 400


def test_an_alert_that_another_tool_sends_twice_and_ends_is_one_incident(fleet: Fleet) -> None:
    start, end = fleet.now - timedelta(hours=2), fleet.now - timedelta(hours=1)
    fired = {
        "alert_transition": "Triggered",
        "alert_title": "disk is slow",
        "date": str(round(start.timestamp() * 1000)),
        "tags": "service:checkout",
    }
    recovered = fired | {"alert_transition": "Recovered", "date": str(round(end.timestamp() * 1000))}
    with fleet.client() as client:
        counts = [
            ok(client.post("/webhooks/alerts", json=body))["incidents"]
            for body in (fired, fired, recovered, recovered, fired)
        ]
    assert counts == [1, 0, 0, 0, 0]
    found = fleet.tenancy.platform("acme").store.incidents.between(start, end, "checkout")
    (incident,) = [one for one in found if one.type == "disk is slow"]
    assert incident.end is not None
    assert abs(incident.end - end) < timedelta(seconds=1)


def test_a_webhook_whose_sender_has_a_secret_needs_its_signature(fleet: Fleet) -> None:
    at = (fleet.now - timedelta(hours=1)).isoformat()
    data = {"type": "incident", "title": "paged", "created_at": at, "service": {"summary": "checkout"}}
    event = {"event_type": "incident.triggered", "resource_type": "incident", "occurred_at": at, "data": data}
    body = json.dumps({"event": event, "padding": "x" * 150_000}, indent=1).encode()
    digest = hmac.new(PAGERDUTY_SECRET.encode(), body, "sha256").hexdigest()
    with fleet.client() as client:
        responses = [
            client.post(
                "/webhooks/alerts",
                content=body,
                headers={"Content-Type": "application/json", "X-PagerDuty-Signature": given},
            )
            for given in (f"v1={digest}", f"v1={digest[::-1]}", "")
        ]
    assert [one.status_code for one in responses] == [200, 401, 401], responses[0].text
    assert responses[0].json()["incidents"] == 1
