"""What a benchmark prints: one table, and one JSON line with all that it has measured."""

import json
import platform
import statistics
from collections.abc import Mapping, Sequence


def spread(values: Sequence[float]) -> dict[str, float]:
    """The median of some repetitions, the least and the most."""
    return {
        name: round(value, 3)
        for name, value in (("median", statistics.median(values)), ("min", min(values)), ("max", max(values)))
    }


def show(measure: str, measured: Mapping[str, Sequence[float]], **setting: object) -> None:
    """Print a measure: the repetitions of each figure, and what it was measured with."""
    print(f"{measure}: {', '.join(f'{name} {value}' for name, value in setting.items())}")
    width = max(map(len, measured))
    print(f"{'':{width}}  {'median':>10} {'min':>10} {'max':>10}")
    figures = {name: spread(values) for name, values in measured.items()}
    for name, figure in figures.items():
        print(f"{name:{width}}  {figure['median']:>10,.2f} {figure['min']:>10,.2f} {figure['max']:>10,.2f}")
    machine = {"machine": platform.platform(), "python": platform.python_version()}
    print(json.dumps({"measure": measure, **setting, **figures, **machine}))
