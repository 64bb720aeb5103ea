"""A kill storm from its first submit to the last question: what each storm does, whatever stands in
it.
"""

from headrace.info import ErrorKind
from support.checker import judge
from support.checker_evidence import Evidence
from support.checker_report import Report
from support.figures import figure
from support.history import FINAL
from support.server import until
from support.storm import Storm
from support.storm_killer import Killer
from support.storm_kills import Moment


def run_load(storm: Storm, killer: Killer, evidence: Evidence, each: int) -> Report:
    """Kill so often in each way while the clients submit; then let everything end, and check it."""
    plans = killer.plans(each)
    storm.begin()
    for number, plan in enumerate(plans, 1):
        enough = storm.jobs * number // (len(plans) + 1)
        storm.allowed = storm.jobs * (number + 1) // (len(plans) + 1)
        until(
            lambda enough=enough: len(evidence.submits) >= enough or storm.errors, "submits are answered", 300
        )
        killer.apply(plan)
    storm.submitted()
    killer.end()
    report = settle(storm, evidence)
    _check_force(report, evidence, each)
    return report


def settle(storm: Storm, evidence: Evidence) -> Report:
    """Wait for every end, ask for every job once more, then check every promise."""
    witness = storm.witness()
    for job_id in evidence.job_ids():
        witness.wait(job_id, figure(60, 600))
    for request in dict(evidence.submits):
        if request[0].isdigit():
            assert storm.submit(witness, request).existing
    storm.watched()
    report = judge(evidence, witness.client)
    assert {job.job_id for job in witness.client.list(page_size=1000)} == set(report.jobs)
    return report


def _check_force(report: Report, evidence: Evidence, each: int) -> None:
    """Check that the storm was one."""
    assert len(evidence.watches) >= figure(20, 200)
    for moment in Moment:
        assert evidence.kills[moment] >= each, f"{moment}: hit by {evidence.kills[moment]} kills"
    for status in FINAL:
        assert report.by_status()[status] >= figure(1, 100), status
    for kind in set(ErrorKind) - {ErrorKind.UNKNOWN}:
        assert report.by_error()[kind] >= figure(1, 20), kind
