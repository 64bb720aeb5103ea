"""Pure functions and frozen records that define what a job is and how it may change.

Only the standard library is imported.

Times are integers: microseconds since 1970-01-01 UTC. Lengths of time are microseconds.
"""
