"""What a job is and how it may change: pure functions and frozen records, standard library alone.

Times are integers: microseconds since 1970-01-01 UTC. Lengths of time are microseconds.
"""
