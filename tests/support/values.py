"""Values for hypothesis: every kind, nested, within the limits of the contract."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from headrace.values import File, Reference

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=100)
_INT64 = st.integers(-(2**63), 2**63 - 1)
_YEARS = timedelta(days=3_652_500)

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    _INT64,
    st.floats(allow_nan=False, allow_infinity=False),
    TEXT,
    st.binary(max_size=40),
    st.dates(date.min, date.max),
    st.datetimes(datetime.min, datetime.max, timezones=st.just(UTC)),  # noqa: DTZ901 - hypothesis adds the zone
    st.timedeltas(-_YEARS, _YEARS),
    st.builds(Reference, TEXT, TEXT),
    st.builds(File, TEXT, TEXT, st.none() | st.integers(0, 2**63 - 1), TEXT),
)


def python_values() -> st.SearchStrategy[Any]:
    """Python values of every kind."""
    return st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
        max_leaves=12,
    )
