"""Know the types of job and what fits each: the loader process, and the registry in the server."""
