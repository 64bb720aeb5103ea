"""The records that headrace.info exports: a job and its history."""
