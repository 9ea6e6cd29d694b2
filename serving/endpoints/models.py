"""`GET /models`: the versions of the active models."""

from serving.contract.responses import ModelsResponse
from serving.endpoints.route import tenant_route
from serving.state.tenants import TenantContext


def list_models(context: TenantContext, _: None) -> ModelsResponse:
    """The models in memory."""
    return ModelsResponse(models=context.models.in_use())


ROUTE = tenant_route(
    method="GET",
    path="/models",
    summary="List the versions of the active models.",
    handler=list_models,
    response=ModelsResponse,
)
