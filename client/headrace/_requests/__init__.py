"""Builds the request messages of both clients, and reads the answers."""
