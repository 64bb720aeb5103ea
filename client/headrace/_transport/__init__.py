"""Channels, calls, retries and streams: one by hand for each of the two clients."""
