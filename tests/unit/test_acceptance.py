"""The acceptance list is shown by tests: what `make acceptance` would run."""

import ast

import acceptance


def test_every_claimed_row_is_named_by_a_test() -> None:
    """Each row that is claimed stands in the docstring of a test, and no other row does."""
    named = set()
    for path in (acceptance.ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                named.update(acceptance.rows_of(ast.get_docstring(node)))
    assert named == acceptance.CLAIMED


def test_a_row_may_stand_behind_the_end_of_a_line() -> None:
    """Wherever a docstring is wrapped, its rows are read."""
    assert acceptance.rows_of("It ends (acceptance\n    30, 45).") == [30, 45]
    assert acceptance.rows_of("It ends (acceptance 6,\n    failure case 22).") == [6]
    assert acceptance.rows_of(None) == []
