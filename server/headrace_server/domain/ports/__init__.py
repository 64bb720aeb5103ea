"""The ports that the use cases and the dispatcher need from the rooms beside them.

There is a port for each role. parts.py plugs the implementations in.

jobs · claims · gates · cluster · retention · timers   the store, as each of its users sees it (store.SqlStore has all of them)
outbox                                                 the store and the broker, as the relay sees them
commits                                                who is told of what the store has committed
job_types                                              the registry of types

Everything here is called on the event loop's thread, and every callback comes on it. Any method of
the store raises StoreUnavailable when the database cannot be reached. After COMMIT, and before any
caller of that batch is answered, the listeners are told of the changes.
"""
