"""Loads the modules of a program without garbage collection.

Hundreds of modules make objects that all stay, so collecting in between is of no use.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Disables garbage collection for the imports in this block.

    Afterwards every existing object counts as permanent: no later collection goes through it.

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
