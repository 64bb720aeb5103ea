"""Carries out a verb of a peer, in the environment of that peer.

    python -m benchmarks.peers NAME submits COUNT IN_FLIGHT      one JSON value on the last line
    python -m benchmarks.peers NAME batches COUNT SIZE
    python -m benchmarks.peers NAME lone COUNT
    python -m benchmarks.peers NAME prepare

Not by the module of the application itself: some peers give tasks the name of the module that
declares them.
"""

import importlib
import json
import sys

if __name__ == "__main__":
    name, verb, *counts = sys.argv[1:]
    commands = importlib.import_module(f"benchmarks.peers.{name}.app").VERBS
    print(json.dumps(commands[verb](*map(int, counts))))
