"""Before a database is served: whose it is, on what it lies, and which version its tables have."""
