"""The instances that serve one database: what each tells of itself, and which types of job are served."""

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
        """Those that live and those that have died lately, with what each holds, oldest first. Raises StoreUnavailable."""
        return await self._known(held=True)

    async def serving(self) -> Mapping[str, int]:
        """How many instances run jobs of each type: live, with workers, not draining. Raises StoreUnavailable."""
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
    """What a version that tells otherwise of its types does not say is not counted."""
    types = one.about.get("types")
    return [kind for kind in types if isinstance(kind, str)] if isinstance(types, list) else []
