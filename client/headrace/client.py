"""The client that blocks. headrace.aio has the same methods for asyncio."""

from headrace._methods.sync.client import Client

__all__ = ["Client"]
