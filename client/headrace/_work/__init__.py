"""The implementation of headrace.jobs: how job code is found and run.

It imports the standard library alone, so that a worker starts fast.
"""
