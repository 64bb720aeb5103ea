"""The program that imports job modules for the doctor, and answers on a descriptor what it has found."""

import json
import os
import sys

from headrace_server.work.registry import Registry


def main() -> None:
    """`python -m headrace_server.doctor.loading <JSON: names, entry_points, answer>`."""
    asked = json.loads(sys.argv[1])
    infos = Registry.load(asked["names"], entry_points=asked["entry_points"]).infos()
    types: dict[str, list[str]] = {}
    for info in infos:
        if not info.load_error:
            types.setdefault(info.module, []).append(info.type)
    errors = {info.module: info.load_error for info in infos if info.load_error}
    with os.fdopen(asked["answer"], "w") as answer:
        json.dump({"types": types, "errors": errors}, answer)


if __name__ == "__main__":
    main()
