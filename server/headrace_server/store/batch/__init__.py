"""Batches of jobs: staged, decided, and brought in."""
