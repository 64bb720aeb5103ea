"""The instances of one database: what each reports, and which types of job are served."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from headrace_server.domain.ports.cluster import ClusterStore, Instance, Liveness


class Members:
    """Asked by operators, and by ListJobTypes. about: what this instance tells of itself now."""

    def __init__(self, store: ClusterStore, me: Liveness, about: Callable[[], Mapping[str, Any]]) -> None:
        self._store = store
        self._me = me
        self._about = about

    async def all(self) -> Sequence[Instance]:
        """Return the live instances and those that died lately, oldest first.

        Each comes with what it holds. Raises StoreUnavailable.
        """
        return await self._known(held=True)

    async def serving(self) -> Mapping[str, int]:
        """Return how many instances run jobs of each type.

        Live instances that have workers and are not draining are counted. Raises StoreUnavailable.
        """
        return Counter(
            kind
            for one in await self._known(held=False)
            if one.live and one.about.get("workers") and not one.about.get("draining")
            for kind in _types(one)
        )

    async def _known(self, *, held: bool) -> Sequence[Instance]:
        found = await self._store.instances(held=held)
        return [
            replace(one, about=self._about()) if one.instance == self._me.instance else one for one in found
        ]


def _types(one: Instance) -> Sequence[str]:
    """Return the types that an instance reports.

    What another version reports in another form is not counted.
    """
    types = one.about.get("types")
    return [kind for kind in types if isinstance(kind, str)] if isinstance(types, list) else []
