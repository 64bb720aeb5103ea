"""The step-by-step migration of a database to the tables of this code.

It starts at the tables that the database has. The module is imported only where there is a step to
take.
"""

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
    """Return the configuration with which Alembic finds the steps."""
    config = Config()
    # configparser reads % in a path as the start of a name.
    config.set_main_option("script_location", str(steps.MIGRATIONS).replace("%", "%%"))
    return config
