"""The reasons for which a database is not opened at all.

The text of each is a sentence for the operator that starts the server.

    StoreRefused           the database cannot be served
    ├── DatabaseInUse      another server, or what is left of one, holds its lock
    ├── NetworkFilesystem  it lies where file locks and shared memory cannot be trusted
    ├── SchemaMismatch     its tables are not those of this version
    └── StoreUnreachable   it does not answer; it may later

These are for the start. Once the store is open, a database that cannot be reached is
domain.errors.StoreUnavailable.
"""


class StoreRefused(Exception):
    """The database cannot be served."""


class DatabaseInUse(StoreRefused):
    """Another server holds the lock of the database."""


class NetworkFilesystem(StoreRefused):
    """The database lies on a network file system."""


class SchemaMismatch(StoreRefused):
    """The tables of the database are not those that this version works with."""


class StoreUnreachable(StoreRefused):
    """The database does not answer: to try again is worth it."""
