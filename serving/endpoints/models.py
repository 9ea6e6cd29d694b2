"""`GET /models`: the versions of the active models."""

from serving.contract.responses import ModelsResponse
from serving.endpoints.route import Route, for_tenant
from serving.state.tenants import TenantContext


def list_models(context: TenantContext, _: None) -> ModelsResponse:
    """The models in memory."""
    return ModelsResponse(models=context.models.in_use())


ROUTE = Route(
    method="GET",
    path="/models",
    summary="List the versions of the active models.",
    handler=for_tenant(list_models),
    response=ModelsResponse,
)
