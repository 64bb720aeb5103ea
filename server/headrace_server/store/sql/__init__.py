"""All that differs between databases. Everything else in the store is one text for each of them.

port         what the store asks of a database
json_lists   lists as one parameter: a JSON array, read by the database
sqlite       one file, one store, one writer at a time
postgresql   many stores, many writers · answering, whether its server answers in time
"""

from headrace_server.store.sql.choice import of, of_url
from headrace_server.store.sql.port import Dialect, Engines, Hints, News, begins, refused

__all__ = ["Dialect", "Engines", "Hints", "News", "begins", "of", "of_url", "refused"]
