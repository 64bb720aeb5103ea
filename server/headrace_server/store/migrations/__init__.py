"""The steps of the schema, applied in order by migrate.py."""
