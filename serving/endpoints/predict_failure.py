"""`/predict_failure`: whether services will fail, from their newest features online."""

from serving.contract.requests import PredictFailureRequest
from serving.contract.responses import PredictFailureAnswer, ServiceRisk
from serving.state.tenants import TenantContext

_NO_FEATURES = "there are no features of this service online; is it known, and are its features materialized?"


def predict_failure(room: TenantContext, request: PredictFailureRequest) -> PredictFailureAnswer:
    """The risk of each service, in the order they were asked for.

    Raises:
        ModelUnavailableError: no failure model was trained yet.
        UnavailableError: the feature store does not answer.
    """
    loaded = room.models.get("failure")
    services = list(dict.fromkeys(request.services))
    # The feature store knows a service by its tenant too, and refuses every other tenant's.
    entities = [f"{room.platform.tenant}/{name}" for name in services]
    online = room.platform.features.online(entities, loaded.bundle.names)
    known = online.drop_nulls("ts")
    risks = dict(zip(known["service_id"].to_list(), loaded.bundle.predict(known), strict=True))
    times = dict(zip(known["service_id"].to_list(), known["ts"].to_list(), strict=True))
    return PredictFailureAnswer(
        model=loaded.ref,
        results=tuple(
            ServiceRisk(service=name, features_at=times[entity], risk=risks[entity])
            if entity in risks
            else ServiceRisk(service=name, features_at=None, risk=None, note=_NO_FEATURES)
            for name, entity in zip(services, entities, strict=True)
        ),
    )
