"""Events that are to be broadcast, in the database."""
