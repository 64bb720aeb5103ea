# Made by `make sync` from ../aio/__init__.py: change that.
"""The methods of both clients, in the form that blocks."""
