"""The long way to the tables of this code: step by step from those that a database has. Imported where there is one to go."""

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from headrace_server.store.opening import steps


def climb(connection: Connection) -> None:
    """Take every step that the database has not taken, in the transaction of this connection."""
    config = configured()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def configured() -> Config:
    """Where Alembic finds the steps."""
    config = Config()
    # configparser reads % in a path as the start of a name.
    config.set_main_option("script_location", str(steps.MIGRATIONS).replace("%", "%%"))
    return config
