"""Several real servers on one real PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.fleet import Fleet, fleet


@pytest.fixture
def servers(tmp_path: Path, shared_url: str) -> Iterator[Fleet]:
    """Makes servers of a database of this test's own."""
    with fleet(tmp_path, shared_url) as made:
        yield made
