"""Questions, each in a transaction of its own that writes nothing."""
