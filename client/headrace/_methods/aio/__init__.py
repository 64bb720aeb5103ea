"""The methods of both clients, in the form for asyncio: the one that is written by hand."""
