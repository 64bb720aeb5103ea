"""A job in the hands of a caller: what submit answers, from each of the two clients.

Jobs that were submitted together are a Batch.
"""

from headrace._methods.aio.handle import AsyncBatch, AsyncJobHandle
from headrace._methods.sync.handle import Batch, JobHandle

__all__ = ["AsyncBatch", "AsyncJobHandle", "Batch", "JobHandle"]
