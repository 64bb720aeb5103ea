"""The templates of --format."""

import pytest

from headrace.cli.record import Record
from headrace.cli.template import BadTemplate, Template

JOB = Record(
    "job",
    "1",
    {
        "status": "FAILED",
        "error": None,
        "final": True,
        "attempts": [{"number": 1}],
        "spec": {"type": "t", "parameters": {"file": "a.png", "width": 32, "sizes": [1, 2]}},
    },
)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{job.spec.parameters.file} {job.status}", "a.png FAILED"),
        ("{job.spec.parameters.width}/{job.final}", "32/true"),
        ("{job.spec.parameters.sizes}", "[1, 2]"),
        ("{job.attempts.0.number}", "1"),
        ("[{job.error}] [{job.error.message}]", "[] []"),
        ("{job.status:>8}|{job.status:<8}|", "  FAILED|FAILED  |"),
        ("{{{job.status}}}\\t\\n", "{FAILED}\t\n"),
        ("no placeholder", "no placeholder"),
    ],
)
def test_a_template_is_filled(template: str, text: str) -> None:
    """Placeholders are paths through the job's data (acceptance 84)."""
    assert Template.read(template).fill(JOB) == text


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{job.stat}", "There is no 'stat' in {job}; there is attempts, error, final, spec, status."),
        ("{job.spec.parameters.fil}", "there is file, sizes, width."),
        ("{jo.status}", "There is no 'jo' in {}; there is job."),
        ("{job.attempts.1.number}", "There is no '1' in {job.attempts}; it is a list of 1, from 0."),
        ("{job.status.upper}", "There is no 'upper' in {job.status}; it is 'FAILED'."),
        ("{job.__class__}", "There is no '__class__' in {job}"),
        ("{job.attempts.__len__}", "There is no '__len__' in {job.attempts}"),
        ("{job.status:d}", "'d' in {job.status} pads no text"),
    ],
)
def test_a_template_that_names_what_is_not_there(template: str, said: str) -> None:
    """An unknown name is refused with those that there are, and Python's own attributes are
    unknown.
    """
    with pytest.raises(BadTemplate) as raised:
        Template.read(template).fill(JOB)
    assert said in str(raised.value)


@pytest.mark.parametrize("template", ["{", "}", "{}", "{job.status!r}", "{job.status:{job.final}}"])
def test_a_template_that_cannot_be_read(template: str) -> None:
    """A malformed template is refused before any call."""
    with pytest.raises(BadTemplate):
        Template.read(template)
