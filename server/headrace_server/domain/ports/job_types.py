"""The types of job, as a registry of them answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from headrace_server.domain.spec import RetryPolicy


@dataclass(frozen=True, slots=True)
class TypeDefaults:
    """The defaults of a type for jobs that do not set their own.

    `timeout` is a length of time, or None.
    """

    retry: RetryPolicy
    timeout: int | None


@dataclass(frozen=True, slots=True)
class TypeInfo:
    """A registered type, or something that failed to load.

    What failed is a module, or a worker's part. Then `type` is empty and `load_error` says why.

    A type with a load_error is one that no worker has loaded.
    """

    type: str
    module: str
    description: str = ""
    parameters_schema: str = ""
    result_schema: str = ""
    defaults: TypeDefaults = TypeDefaults(RetryPolicy(), None)
    load_error: str = ""
    needs_workspace: bool = False
    fresh: bool = False
    concurrency: int = 1


class JobTypes(Protocol):
    """The registered types of job."""

    @property
    def names(self) -> frozenset[str]:
        """The types that can be submitted."""
        ...

    @property
    def served(self) -> frozenset[str]:
        """Those of them that some worker of this instance has loaded, as far as is known."""
        ...

    def defaults(self, type_name: str) -> TypeDefaults:
        """Return the defaults of a type for jobs that do not set their own.

        Raises UnknownType.
        """
        ...

    async def check(
        self, type_name: str, parameters: Mapping[str, Any], *, whole: bool = True
    ) -> dict[str, Any]:
        """Return plain parameters as the type's signature understands them.

        Raises UnknownType, InvalidParameter.

        It waits where classes of the job's own are asked, which the server does not load: then it
        may also raise LoaderUnavailable. whole=False: these are some of the parameters, as a filter
        names them, and none is missing.
        """
        ...

    def infos(self) -> Sequence[TypeInfo]:
        """Every type by name, then the modules that failed to load."""
        ...
