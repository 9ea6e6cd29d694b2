"""Feast's registry in a file of this machine that is written as a whole. Feast loads the class by its name."""

from feast.infra.registry.file import FileRegistryStore
from feast.protos.feast.core.Registry_pb2 import Registry
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]


class WholeFileRegistryStore(FileRegistryStore):
    """A file that a kill or a full disk in the middle of a write leaves as it was.

    The file holds only what the code defines, and which features were loaded into the online store. So a file that
    cannot be read, such as one that an earlier release left damaged, is taken for a missing one.
    """

    def get_registry_proto(self) -> Registry:
        """The registry.

        Raises:
            FileNotFoundError: the file is missing or damaged; Feast then writes a new one.
        """
        try:
            registry: Registry = super().get_registry_proto()  # type: ignore[no-untyped-call]
        except DecodeError as error:
            raise FileNotFoundError(f"{self._filepath} is damaged") from error
        return registry

    def _write_registry(self, registry_proto: Registry) -> None:
        final = self._filepath
        self._filepath = final.with_suffix(".new")
        try:
            super()._write_registry(registry_proto)
            self._filepath.replace(final)
        finally:
            self._filepath = final
