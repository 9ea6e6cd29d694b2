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


def kubernetes() -> Body:
    """The start of a rollout, as kubernetes-event-exporter posts it."""
    return {
        "metadata": {
            "name": "checkout.1656cffa3223676d",
            "namespace": "shop",
            "uid": "f5b5c92f",
            "creationTimestamp": "2026-03-02T12:00:00Z",
        },
        "reason": "ScalingReplicaSet",
        "message": "Scaled up replica set checkout-279484c0 to 1",
        "source": {"component": "deployment-controller"},
        "firstTimestamp": "2026-03-02T12:00:00Z",
        "lastTimestamp": "2026-03-02T12:00:00Z",
        "count": 1,
        "type": "Normal",
        "eventTime": None,
        "reportingComponent": "",
        "reportingInstance": "",
        "involvedObject": {
            "kind": "Deployment",
            "namespace": "shop",
            "name": "checkout",
            "apiVersion": "apps/v1",
            "labels": {"team": "shop"},
        },
    }


def launchdarkly() -> Body:
    return {
        "_links": {"parent": {"href": "/api/v2/auditlog", "type": "application/json"}},
        "_id": "57c0a8e29969090743529965",
        "_accountId": "1234",
        "date": ms(NOON),
        "accesses": [
            {"action": "updateOn", "resource": "proj/default:env/production:flag/new-cart;service.checkout,x"}
        ],
        "kind": "flag",
        "name": "New cart",
        "description": "",
        "member": {"email": "ariel@acme.com"},
        "titleVerb": "turned on the flag",
        "title": "[Ariel](mailto:ariel@acme.com) turned on the flag [New cart](https://app.launchdarkly.com)",
        "target": {"name": "New cart", "resources": ["proj/default:env/production:flag/new-cart"]},
        "currentVersion": {"name": "New cart", "kind": "boolean", "tags": ["x"]},
    }


def unleash() -> Body:
    return {
        "id": 842,
        "type": "feature-environment-enabled",
        "createdBy": "user@company.com",
        "createdAt": "2026-03-02T12:00:00.000Z",
        "data": None,
        "preData": None,
        "tags": [{"type": "simple", "value": "service:checkout"}, {"type": "simple", "value": "x"}],
        "featureName": "new-cart",
        "project": "my-project",
        "environment": "production",
    }


def flagsmith() -> Body:
    def state(enabled: bool) -> Body:
        return {
            "enabled": enabled,
            "environment": {"id": 23, "name": "production"},
            "feature": {
                "id": 7168,
                "name": "new-cart",
                "project": {"id": 12, "name": "Shop"},
                "type": "CONFIG",
            },
            "feature_segment": None,
            "feature_state_value": "x",
            "identity": None,
            "identity_identifier": None,
        }

    return {
        "data": {
            "changed_by": "Ben",
            "new_state": state(True),
            "previous_state": state(False),
            "timestamp": "2026-03-02T12:00:00.000000Z",
        },
        "event_type": "FLAG_UPDATED",
    }


def feature_flag() -> Body:
    return {
        "feature_flag.key": "new-cart",
        "variant": "on",
        "at": "2026-03-02T12:00:00Z",
        "service": "checkout",
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
DEPLOYS: Mapping[str, Callable[[], Body]] = {
    "gitlab": gitlab,
    "argo_cd": argo_cd,
    "flux": flux,
    "kubernetes": kubernetes,
}
FLAGS: Mapping[str, Callable[[], Body]] = {
    "launchdarkly": launchdarkly,
    "unleash": unleash,
    "flagsmith": flagsmith,
    "feature_flag": feature_flag,
}
STARTLESS = {"datadog", "cloudwatch"}
