"""Parameters and labels as they are typed."""

from pathlib import Path
from typing import Any

import pytest

from headrace.cli.assignments import read_parameters, read_texts


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("a=32", "32"),
        ("a=", ""),
        ("a=b=c:=d", "b=c:=d"),
        ("a=x:y", "x:y"),
        ("a:=32", 32),
        ("a:=1.5", 1.5),
        ("a:=true", True),
        ("a:=null", None),
        ('a:=[1, "b"]', [1, "b"]),
        ('a:={"b": {"c": 1}}', {"b": {"c": 1}}),
    ],
)
def test_a_parameter(typed: str, value: Any) -> None:
    """`=` gives text as it stands and `:=` gives what the JSON says."""
    assert read_parameters([typed]) == {"a": value}


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["a"], "'a' is not of the form name=text or name:=json."),
        (["=1"], "'=1' is not of the form"),
        (["a:=b"], "write a=b for text"),
        (["a:=NaN"], "NaN is no JSON number"),
        (["a=1", "a:=2"], "Parameter 'a' is given twice."),
    ],
)
def test_a_bad_parameter(typed: list[str], said: str) -> None:
    """What cannot be read is refused in a sentence that shows it."""
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the text is checked
        read_parameters(typed)
    assert said in str(raised.value)


@pytest.mark.parametrize(("name", "text"), [("p.json", '{"a": 1, "b": "x"}'), ("p.yaml", "a: 1\nb: x\n")])
def test_a_parameters_file(tmp_path: Path, name: str, text: str) -> None:
    """A file gives parameters, and the command line goes before it."""
    file = tmp_path / name
    file.write_text(text)
    assert read_parameters(["b=y"], file) == {"a": 1, "b": "y"}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [("p.json", "{", "holds no JSON"), ("p.yaml", "a: [", "holds no YAML"), ("p.yaml", "- a", "but list")],
)
def test_a_bad_parameters_file(tmp_path: Path, name: str, text: str, said: str) -> None:
    """A file that holds no parameters is refused in one line."""
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(ValueError, match=said) as raised:
        read_parameters([], file)
    assert "\n" not in str(raised.value)


def test_a_parameters_file_that_is_not_there(tmp_path: Path) -> None:
    """A file that cannot be read is named, with the reason."""
    with pytest.raises(ValueError, match=r"none\.json cannot be read: No such file"):
        read_parameters([], tmp_path / "none.json")


def test_labels() -> None:
    """Labels are key=value, and the value may hold another sign."""
    assert read_texts(["a=1", "b=x=y"]) == {"a": "1", "b": "x=y"}
    with pytest.raises(ValueError, match="'c' is not of the form key=value"):
        read_texts(["c"])
