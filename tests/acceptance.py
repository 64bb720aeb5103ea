"""`make acceptance`: each row of docs/acceptance.md, the tests that show it, and how they ended.

A test names its rows in its docstring: `acceptance 44` or `acceptance 1, 8, 35`. Rows in CLAIMED
must have a test, and every test that names a row must pass.
"""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CLAIMED = frozenset(
    {*range(1, 69), *range(70, 79), 80, *range(81, 86), 87, 88, 89}
)  # fmt: skip
MOST_ROWS = 3
NAMED = re.compile(r"acceptance ((?:\d+(?:, | and )?)+)")


def rows_of(docstring: str | None) -> list[int]:
    """The rows that a docstring names, on whichever of its lines."""
    text = " ".join((docstring or "").split())
    return [int(number) for group in NAMED.findall(text) for number in re.findall(r"\d+", group)]


class Rows:
    """A pytest plugin that notes which test names which rows, and its outcome."""

    def __init__(self) -> None:
        self.tests: dict[int, list[str]] = {}
        self.outcomes: dict[str, str] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep the tests that name a row."""
        kept = []
        for item in items:
            numbers = rows_of(getattr(getattr(item, "function", None), "__doc__", None))
            if len(numbers) > MOST_ROWS:
                raise pytest.UsageError(
                    f"{item.nodeid} names {len(numbers)} rows; at most {MOST_ROWS} are clear"
                )
            for number in numbers:
                self.tests.setdefault(number, []).append(item.nodeid)
            if numbers:
                kept.append(item)
        items[:] = kept

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note an outcome; anything but a pass in any phase counts."""
        if report.when == "call" or not report.passed:
            self.outcomes[report.nodeid] = report.outcome


def main() -> int:
    """Run, print, judge."""
    rows = Rows()
    code = pytest.main(["-q", "--no-header", str(ROOT / "tests")], plugins=[rows])
    titles = re.findall(
        r"^\| *(\d+) *\| *([^|]+?) *\|", (ROOT / "docs/acceptance.md").read_text(), re.MULTILINE
    )
    failed = code != 0
    for text, title in titles:
        number = int(text)
        tests = rows.tests.get(number, [])
        if not tests and number not in CLAIMED:
            continue
        outcomes = {rows.outcomes.get(test, "not run") for test in tests}
        verdict = "passed" if outcomes == {"passed"} else "FAILED" if tests else "NO TEST"
        failed |= verdict != "passed" and number in CLAIMED
        sys.stdout.write(f"{number:3}  {verdict:8} {title}\n")
        for test in tests:
            sys.stdout.write(f"              {test.removeprefix('tests/')}\n")
    sys.stdout.write(f"{len(CLAIMED)} rows claimed: {'FAILED' if failed else 'all shown'}\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
