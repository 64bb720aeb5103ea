"""The next version, as this one meets it: whatever is stored, it writes more of it.

rows       what it would have written, at every place of the store, for tests that write it themselves
tables     one more migration
__main__   the server of the next version, as a process
"""
