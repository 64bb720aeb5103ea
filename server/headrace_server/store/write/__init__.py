"""One writer, one transaction for whatever is waiting, and what it can be asked to do."""
