"""In the server: which run goes into which slot, and how it ends."""
