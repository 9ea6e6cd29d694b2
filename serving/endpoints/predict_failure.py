"""`/predict_failure`: predict whether services will fail, from their newest features."""

from serving.contract.requests import PredictFailureRequest
from serving.contract.responses import PredictFailureResponse, ServiceRisk
from serving.endpoints.route import Route, for_tenant
from serving.state.tenants import TenantContext
from serving.state.work import Lane

_NO_FEATURES = (
    "the feature store has no features of this service; "
    "check the name, then run `forewarn features build` and `forewarn features materialize`"
)


def predict_failure(context: TenantContext, request: PredictFailureRequest) -> PredictFailureResponse:
    """The risk of each service, in the order of the request.

    Raises:
        ModelUnavailableError: no failure model was trained yet.
        UnavailableError: the feature store does not respond.
    """
    loaded = context.models.failure()
    services = list(dict.fromkeys(request.services))
    # The feature store knows a service by its tenant as well, and refuses the services of other tenants.
    entities = [f"{context.platform.tenant}/{name}" for name in services]
    online = context.platform.features.online(entities, loaded.model.names)
    known = online.drop_nulls("ts")
    risks = dict(zip(known["service_id"].to_list(), loaded.model.predict(known), strict=True))
    times = dict(zip(known["service_id"].to_list(), known["ts"].to_list(), strict=True))
    return PredictFailureResponse(
        model=loaded.ref,
        results=tuple(
            ServiceRisk(service=name, features_at=times[entity], risk=risks[entity])
            if entity in risks
            else ServiceRisk(service=name, features_at=None, risk=None, note=_NO_FEATURES)
            for name, entity in zip(services, entities, strict=True)
        ),
    )


ROUTE = Route(
    method="POST",
    path="/predict_failure",
    summary="Predict whether services will fail, when, and why.",
    handler=for_tenant(predict_failure),
    request=PredictFailureRequest,
    response=PredictFailureResponse,
    lane=Lane.MODELS,
)
