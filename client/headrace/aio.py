"""The client for asyncio: the methods of headrace.client, to be awaited."""

from headrace._methods.aio.client import AsyncClient

__all__ = ["AsyncClient"]
