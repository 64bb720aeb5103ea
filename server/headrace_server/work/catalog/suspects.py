"""Which module has ended the process that imports them all.

It is the one that is being imported, most often. But a module may leave a thread that ends the
process a moment later, or kill the supervisor above it: by then another is being imported, or none
any more. So the one that was is imported alone; where that goes well those before it are, the last
first, and each that ends its process is left out. Where all go well alone it is the first one after
all. Those that were found before are looked at before all others.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence

from headrace_server.work.catalog.loader_life import LoaderLife

Alone = Callable[[str, Sequence[str]], Awaitable[str]]
"""Imports one module without some others, and answers why its process has ended, or ""."""


async def guilty(
    life: LoaderLife, why: str, *, skip: Collection[str], known: Collection[str], alone: Alone
) -> dict[str, str]:
    """Return the modules because of which a loader has ended, each with the reason.

    The result is empty where the loader had imported none.

    skip: those that are left out already. known: those that were found before.
    """
    at = life.importing
    if not at or at in skip:
        return {}
    earlier = [module for module in reversed(life.load.modules) if module != at]
    if not earlier or life.hung:
        return {at: why}
    for module in [one for one in (at, *earlier) if one in known] or [at]:
        if reason := await alone(module, [*skip]):
            return {module: reason}
    found: dict[str, str] = {}
    for module in earlier:
        if reason := await alone(module, [*skip, *found]):
            found[module] = reason
    return found or {at: why}
