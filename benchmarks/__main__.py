"""Measure, print, and write the page and the picture when that is wanted.

    .venv/bin/python -m benchmarks [--write] [P1 …]      ROUNDS=5 and SCALE=1 in the environment

SCALE multiplies the counts of jobs: 0.1 shows in a few minutes that all of it works. The last line
printed is JSON.
"""

import json
import os
import sys
import time

from benchmarks.bench import ROOT, Bench
from benchmarks.measures.measure import Measure
from benchmarks.measures.registry import MEASURES
from benchmarks.report import machine, page, picture
from benchmarks.runner import Measured, interleave
from benchmarks.systems.table import system_lines

PAGE = ROOT / "benchmarks" / "RESULTS.md"
PICTURE = ROOT / "docs" / "performance.svg"
ROUNDS = 5


def main(asked: list[str]) -> int:
    """Measure those that were asked for, or all; answers whether a variant failed."""
    names = [word for word in asked if not word.startswith("-")]
    unknown = set(names) - {measure.number for measure in MEASURES}
    if unknown:
        sys.exit(f"There is no measure {', '.join(sorted(unknown))}: {', '.join(m.number for m in MEASURES)}")
    chosen = [measure for measure in MEASURES if not names or measure.number in names]
    rounds, scale = int(os.environ.get("ROUNDS") or ROUNDS), float(os.environ.get("SCALE") or 1)
    before = machine.load()
    with Bench(rounds, scale) as bench:
        found = [(measure, _measure(measure, bench)) for measure in chosen]
        systems = system_lines(bench)
    text = _text(
        found, systems, [*machine.lines(before, machine.load()), f"- {rounds} rounds, scale {scale:g}"]
    )
    print(text)
    if "--write" in asked:
        PAGE.write_text(text + "\n")
        PICTURE.write_bytes(picture.drawn(found))
    print(json.dumps({measure.number: measured.rounds for measure, measured in found}))
    return 1 if any(measured.failed for _, measured in found) else 0


def _measure(measure: Measure, bench: Bench) -> Measured:
    print(f"{measure.number}: {measure.title}", file=sys.stderr, flush=True)
    began = time.monotonic()
    with measure.variants(bench) as variants:
        measured = interleave(variants, bench.rounds)
    print(f"{measure.number} took {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return measured


def _text(found: list[tuple[Measure, Measured]], systems: list[str], about: list[str]) -> str:
    lines = [
        "# Results",
        "",
        "Made by `make bench`; docs/performance.md says how to read it.",
        "",
        *about,
        "",
        *systems,
    ]
    for measure, measured in found:
        lines += page.section(measure, measured)
    return "\n".join(lines).rstrip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
