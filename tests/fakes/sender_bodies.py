"""Bodies of webhooks, built after the public docs of their senders: one alert from `NOON` to `LATER`, one deploy."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=30)
Body = dict[str, Any]


def iso(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def pagerduty(*, resolved: bool) -> Body:
    return {
        "event": {
            "id": "01",
            "event_type": "incident.resolved" if resolved else "incident.triggered",
            "resource_type": "incident",
            "occurred_at": iso(LATER if resolved else NOON),
            "agent": {"id": "P1", "type": "user_reference"},
            "client": None,
            "data": {
                "id": "PGR0VU2",
                "type": "incident",
                "number": 2,
                "status": "resolved" if resolved else "triggered",
                "incident_key": "d3640fbd41094207a1c11e58e46b1662",
                "created_at": iso(NOON),
                "title": "Too many errors",
                "service": {"id": "PF9KMXH", "summary": "checkout", "type": "service_reference"},
                "urgency": "high",
                "priority": None,
            },
        }
    }


def opsgenie(*, resolved: bool) -> Body:
    return {
        "action": "Close" if resolved else "Create",
        "alert": {
            "alertId": "052652ac",
            "message": "Too many errors",
            "tags": ["urgent", "service:checkout"],
            "entity": "web1",
            "createdAt": ms(NOON),
            "updatedAt": ms(LATER if resolved else NOON) * 1_000_000,
            "priority": "P1",
        },
        "source": {"name": "", "type": "web"},
        "integrationName": "forewarn",
    }


def datadog(*, resolved: bool) -> Body:
    return {
        "alert_transition": "Recovered" if resolved else "Triggered",
        "alert_title": f"[{'Recovered' if resolved else 'Triggered'} on {{host:web1}}] Too many errors",
        "date": str(ms(LATER if resolved else NOON)),
        "tags": "env:prod,service:checkout,monitor",
        "alert_scope": "host:web1",
        "hostname": "web1",
        "alert_priority": "P1",
    }


def grafana(*, resolved: bool) -> Body:
    status = "resolved" if resolved else "firing"
    return {
        "receiver": "forewarn",
        "status": status,
        "orgId": 1,
        "alerts": [
            {
                "status": status,
                "labels": {"alertname": "Too many errors", "service": "checkout", "severity": "critical"},
                "annotations": {},
                "startsAt": "2026-03-02T13:00:00+01:00",
                "endsAt": iso(LATER) if resolved else "0001-01-01T00:00:00Z",
                "fingerprint": "c6eadffa33fcdf37",
                "values": {"B": 44.2},
            }
        ],
        "version": "1",
        "state": "ok" if resolved else "alerting",
    }


def cloudwatch(*, resolved: bool) -> Body:
    message = {
        "AlarmName": "Too many errors",
        "AlarmDescription": "severity=critical",
        "NewStateValue": "OK" if resolved else "ALARM",
        "OldStateValue": "ALARM" if resolved else "OK",
        "StateChangeTime": (LATER if resolved else NOON).strftime("%Y-%m-%dT%H:%M:%S.000+0000"),
        "Trigger": {
            "MetricName": "Errors",
            "Dimensions": [
                {"name": "ClusterName", "value": "c"},
                {"name": "ServiceName", "value": "checkout"},
            ],
        },
    }
    return {
        "Type": "Notification",
        "MessageId": "95df01b4",
        "TopicArn": "arn:aws:sns:eu-west-1:000000000000:alarms",
        "Message": json.dumps(message),
        "Timestamp": iso(NOON),
    }


def azure(*, resolved: bool) -> Body:
    essentials = {
        "alertId": "/subscriptions/s/providers/Microsoft.AlertsManagement/alerts/a",
        "alertRule": "Too many errors",
        "severity": "Sev1",
        "monitorCondition": "Resolved" if resolved else "Fired",
        "alertTargetIDs": ["/subscriptions/s/resourcegroups/g/providers/microsoft.web/sites/checkout"],
        "configurationItems": ["checkout"],
        "firedDateTime": "2026-03-02T12:00:00.0000000Z",
    }
    if resolved:
        essentials["resolvedDateTime"] = "2026-03-02T12:30:00.0000001Z"
    return {
        "schemaId": "azureMonitorCommonAlertSchema",
        "data": {"essentials": essentials, "alertContext": {}, "customProperties": None},
    }


def splunk(*, resolved: bool) -> Body:
    return {
        "ALERT.entity_display_name": "Too many errors",
        "STATE.ENTITY_ID": "checkout/errors",
        "STATE.HOST": "",
        "STATE.SERVICE": "checkout",
        "STATE.CURRENT_ALERT_PHASE": "RESOLVED" if resolved else "UNACKED",
        "STATE.CURRENT_STATE": "CRITICAL",
        "STATE.INCIDENT_TIMESTAMP": ms(NOON),
        "STATE.LAST_TIMESTAMP": ms(LATER if resolved else NOON),
        "STATE.RESOLVED_AT": None,
    }


def gitlab() -> Body:
    return {
        "object_kind": "deployment",
        "status": "success",
        "status_changed_at": "2026-03-02 13:00:00 +0100",
        "deployment_id": 15,
        "environment": "production",
        "project": {"id": 30, "name": "checkout", "path_with_namespace": "shop/checkout"},
        "ref": "main",
        "short_sha": "279484c0",
    }


def argo_cd() -> Body:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "checkout", "namespace": "argocd"},
        "spec": {"project": "default"},
        "status": {
            "health": {"status": "Healthy"},
            "operationState": {
                "phase": "Succeeded",
                "startedAt": "2026-03-02T11:59:00Z",
                "finishedAt": "2026-03-02T12:00:00Z",
                "syncResult": {"revision": "279484c0"},
            },
        },
    }


def flux() -> Body:
    return {
        "involvedObject": {"kind": "Kustomization", "name": "checkout", "namespace": "apps"},
        "metadata": {"kustomize.toolkit.fluxcd.io/revision": "279484c0"},
        "severity": "info",
        "reason": "ReconciliationSucceeded",
        "message": "Reconciliation finished",
        "reportingController": "kustomize-controller",
        "timestamp": "2026-03-02T12:00:00Z",
    }


ALERTS: Mapping[str, Callable[..., Body]] = {
    "pagerduty": pagerduty,
    "opsgenie": opsgenie,
    "datadog": datadog,
    "grafana": grafana,
    "cloudwatch": cloudwatch,
    "azure": azure,
    "splunk": splunk,
}
DEPLOYS: Mapping[str, Callable[[], Body]] = {"gitlab": gitlab, "argo_cd": argo_cd, "flux": flux}
STARTLESS = {"datadog", "cloudwatch"}
