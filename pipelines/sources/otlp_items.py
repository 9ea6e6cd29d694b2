"""The items of a request for traces or logs, each with the service of its resource."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from core.checks import require_name
from core.secrets_in_text import MASK, masked
from core.service_names import ServiceRule
from pipelines.sources.otlp_attributes import resource_labels_of
from pipelines.sources.otlp_messages import MALFORMED, RESOURCE, Encoding, RequestForm
from pipelines.sources.protobuf import Parts, TooManyPartsError

#: Resources, scopes and items in one request.
MAX_ITEMS = 100_000
#: A dead letter shows so many characters of a part.
_SHOWN_CHARS = 2_000


class ItemReader:
    """Reads the items of one request, and collects what cannot be read.

    Args:
        is_secret: the items may hold secrets, so nothing of what cannot be read is shown.
    Attributes:
        rejected: rows and reasons, for dead letters.
        items: how many items were read, rejected ones included.
        rejected_items: how many of them are rejected. A resource that cannot be read counts as one.
    """

    def __init__(
        self, form: RequestForm, encoding: Encoding, services: ServiceRule, *, is_secret: bool = False
    ) -> None:
        self._form = form
        self._is_secret = is_secret
        self._encoding = encoding
        self._services = services
        self._parts = Parts(MAX_ITEMS, f"resources, scopes and {form.content}; send smaller batches")
        self.rejected: list[tuple[str, str]] = []
        self.items = self.rejected_items = 0

    def read(self, body: bytes) -> Iterator[tuple[str, Any]]:
        """Service and item, as it came.

        Raises:
            InputError: the body is no request of this form, or has too many items.
        """
        for raw in self._encoding.request(body, self._form):
            try:
                self._parts.take(1)
                fields = self._encoding.read(raw, self._form.resource)
                service = self._service(fields)
                scopes = fields.get(self._form.scopes, [])
                self._parts.take(len(scopes))
            except TooManyPartsError:
                raise
            except MALFORMED as error:
                self.reject({"resource": self.shown(raw)}, f"the resource cannot be read: {error}")
                continue
            for scope in scopes:
                for item in self._items_of(scope):
                    yield service, item

    def _service(self, fields: Mapping[str, Any]) -> str:
        resource = {} if "resource" not in fields else self._encoding.read(fields["resource"], RESOURCE)
        _, attributes = resource_labels_of(self._encoding, resource.get("attributes", []))
        service = self._services.service_of(attributes) or "unknown"
        require_name(service, "service")
        return service

    def _items_of(self, scope: Any) -> list[Any]:
        try:
            items: list[Any] = self._encoding.read(scope, self._form.scope).get(self._form.items, [])
            self._parts.take(len(items))
        except TooManyPartsError:
            raise
        except MALFORMED as error:
            self.reject({"scope": self.shown(scope)}, f"the scope cannot be read: {error}")
            return []
        self.items += len(items)
        return items

    def reject(self, row: Mapping[str, object], reason: str) -> None:
        """Keep a part for the dead letters."""
        self.rejected.append((json.dumps(row), masked(reason) if self._is_secret else reason))
        self.rejected_items += 1

    def shown(self, raw: Any) -> str:
        """A part for people."""
        if self._is_secret:
            return MASK
        return self._encoding.text(raw)[:_SHOWN_CHARS]
