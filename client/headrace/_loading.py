"""Loading what a program consists of, without a look for garbage: hundreds of modules make objects that all stay."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """For the imports in this block. Afterwards what there is counts as permanent: no later look for garbage goes through it.

    A process that is forked then shares those pages for longer.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was:
            gc.enable()
