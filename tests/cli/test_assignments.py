"""Parameters and labels as they are typed."""

import io
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from headrace import File, Reference
from headrace.cli import notation
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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1e5, "b": [1e+16]}', {"a": 1e5, "b": [1e16]}),
        ("a: [1, x]\n", {"a": [1, "x"]}),
        ('{"a": {"$bytes": "aGk="}}', {"a": b"hi"}),
    ],
)
def test_parameters_from_stdin(monkeypatch: pytest.MonkeyPatch, text: str, value: dict[str, Any]) -> None:
    """A - reads them from stdin, as JSON where it is JSON, and as YAML where it is not."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert read_parameters([], Path("-")) == value


def test_no_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is none, that is said."""
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(ValueError, match="there is no stdin"):
        read_parameters([], Path("-"))


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


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (b"\0\xff", {"$bytes": "AP8="}),
        (timedelta(seconds=90), {"$duration": "90s"}),
        (timedelta(days=-3_000_000, microseconds=1), {"$duration": "-259199999999.999999s"}),
        (timedelta(), {"$duration": "0s"}),
        (date(2026, 11, 22), {"$date": "2026-11-22"}),
        (datetime(2026, 11, 22, 12, 0, 0, 1, UTC), {"$timestamp": "2026-11-22T12:00:00.000001Z"}),
        (Reference("order", "1"), {"$reference": {"kind": "order", "id": "1"}}),
        (File("s3://x", size=3), {"$file": {"uri": "s3://x", "media_type": "", "size": 3, "digest": ""}}),
        ({"b": [b"x"], "a": {"d": 1, "c": 1.0}}, {"a": {"c": 1.0, "d": 1}, "b": [{"$bytes": "eA=="}]}),
        ({"$bytes": "no"}, {"$map": {"$bytes": "no"}}),
        ({"$map": {}}, {"$map": {"$map": {}}}),
        ({"$x": 1, "y": 2}, {"$x": 1, "y": 2}),
        ([None, True, 1, 1.5, "90s"], [None, True, 1, 1.5, "90s"]),
    ],
)
def test_what_is_printed_is_taken_back(tmp_path: Path, value: Any, written: Any) -> None:
    """A value of each kind is printed as JSON, maps in the order of their names, and typed or in a
    file is the same value again.
    """
    text = json.dumps(notation.show(value))
    assert text == json.dumps(written)
    file = tmp_path / "p.json"
    file.write_text(f'{{"a": {text}}}')
    for taken in (read_parameters([f"a:={text}"]), read_parameters([], file)):
        assert taken == {"a": value}
        assert type(taken["a"]) is type(value)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ('a:={"$byts": ""}', r"a: '\$byts' is no kind of value: there are \$bytes, .* is \$map"),
        ('a:={"$bytes": "?"}', r"a: '\?' is no value of kind \$bytes"),
        ('a:={"$duration": "PT5S"}', r"'PT5S' is no value of kind \$duration"),
        ('a:=[{"$date": 5}]', r"5 is no value of kind \$date"),
        ('a:={"$reference": {"kind": "x"}}', r"is no value of kind \$reference"),
    ],
)
def test_a_bad_word_for_a_kind(typed: str, said: str) -> None:
    """A word for a kind that there is not, or that says nothing, is refused in a sentence."""
    with pytest.raises(ValueError, match=said):
        read_parameters([typed])


def test_labels() -> None:
    """Labels are key=value, and the value may hold another sign."""
    assert read_texts(["a=1", "b=x=y"]) == {"a": "1", "b": "x=y"}
    with pytest.raises(ValueError, match="'c' is not of the form key=value"):
        read_texts(["c"])
