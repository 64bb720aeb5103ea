"""A job in the hands of a caller: what submit answers, from each of the two clients."""

from headrace._methods.aio.handle import AsyncJobHandle
from headrace._methods.sync.handle import JobHandle

__all__ = ["AsyncJobHandle", "JobHandle"]
