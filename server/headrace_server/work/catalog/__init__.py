"""Which types of job there are, and what fits each: the loader process, and the registry in the server."""
