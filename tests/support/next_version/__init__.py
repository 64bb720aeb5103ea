"""The next version, as this one meets it: whatever is stored, it writes more of it.

rows       what it would have written, at every place of the store, for tests that write it themselves
records    a server that writes so: each record with one more key, and words and kinds that this version does not know
tables     one more migration
__main__   the server of the next version, as a process
"""
