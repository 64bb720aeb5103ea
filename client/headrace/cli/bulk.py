"""stop-jobs, update-jobs and purge: what is done with all jobs that match."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, TypeVar

import typer

from headrace.cli.changing import ANSWER_WAIT
from headrace.cli.options import ChangeOptions, FilterOptions, OutputOptions
from headrace.cli.record import Record, plain
from headrace.cli.session import Session
from headrace.cli.terminal import write
from headrace.cli.times import read_span
from headrace.info import PurgeCounts, StopCounts

Counts = TypeVar("Counts", StopCounts, PurgeCounts, int)

Grace = Annotated[
    timedelta | None,
    typer.Option(parser=read_span, metavar="TIME", help="The time until processes are killed (10s)."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class AssentOptions:
    """The options that decide whether a command carries out its action."""

    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing: print what would be done.")] = (
        False
    )
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False

    def act(self, act: Callable[[bool], Counts], say: Callable[[Counts], str]) -> Counts:
        """Carry out an action if the user agrees, and return its counts.

        `act` is passed True if it is to change nothing. Raises ValueError when there is no user to
        ask.
        """
        if self.dry_run:
            return act(True)
        if not self.yes:
            if not sys.stdin.isatty():
                raise ValueError("There is nobody to ask: --dry-run shows what would be done, --yes does it.")
            _ask(f"It would be: {say(act(True))}. Go on? [y/N]: ")
        return act(False)

    def write(self, words: str) -> None:
        """Write what was done, or would be."""
        write(f"It would be: {words}" if self.dry_run else words)


def _ask(question: str) -> None:
    """Ask a question on stderr, and nowhere else.

    The prompt of Typer would put a space into the data. Raises typer.Abort unless the answer is
    yes.
    """
    while True:
        sys.stderr.write(question)
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:  # Ctrl-D
            sys.stderr.write("\n")
        answer = line.strip().lower()
        if answer in ("y", "yes"):
            return
        if answer in ("", "n", "no"):
            raise typer.Abort


def stop_jobs(
    session: Session,
    filters: FilterOptions,
    assent: AssentOptions,
    form: OutputOptions,
    *,
    reason: Annotated[str, typer.Option(help="Why; the jobs' code can read it.")] = "",
    grace: Grace = None,
) -> None:
    """Stop all jobs that match, and do not wait for them.

    Example: headrace stop-jobs --type 'image.*' --owner ann --reason 'wrong files' --yes
    """
    output = form.read()
    with session.connect(tenant=filters.tenant) as client:
        counts = assent.act(
            lambda dry: client.stop_jobs(reason, validate_only=dry, grace_period=grace, **filters.read()),
            _stopped,
        )
    record = Record("stop", str(counts.stopped + counts.stopping), plain(counts))
    output.one(record, lambda: assent.write(_stopped(counts)))


def update_jobs(
    session: Session,
    filters: FilterOptions,
    change: ChangeOptions,
    assent: AssentOptions,
    form: OutputOptions,
    *,
    set_label: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="A label that replaces all; repeatable.")
    ] = None,
) -> None:
    """Change fields of all jobs that match.

    Priority and times are changed only for jobs that have not ended.

    Example: headrace update-jobs --type 'image.*' --status QUEUED --priority 10 --dry-run
    """
    output, changes = form.read(), change.read(set_label)
    with session.connect(tenant=filters.tenant) as client:
        count = assent.act(
            lambda dry: client.update_jobs(changes, validate_only=dry, **filters.read()), _updated
        )
    output.one(Record("update", str(count), {"updated": count}), lambda: assent.write(_updated(count)))


def purge(
    session: Session,
    filters: FilterOptions,
    assent: AssentOptions,
    form: OutputOptions,
    *,
    stop: Annotated[
        bool, typer.Option("--stop", help="Also jobs that have not ended: stop them first.")
    ] = False,
    grace: Grace = None,
) -> None:
    """Delete all jobs that match and have ended, with their history. Locked jobs stay.

    Example: headrace purge --status FAILED --until 7d --dry-run
    """
    output = form.read()
    longest = min(session.timeout or ANSWER_WAIT, ANSWER_WAIT)
    with session.connect(tenant=filters.tenant) as client:
        counts = assent.act(
            lambda dry: client.purge_jobs(
                validate_only=dry,
                stop_first=stop,
                grace_period=grace,
                wait_timeout=longest if stop else None,
                **filters.read(),
            ),
            _purged,
        )
    output.one(Record("purge", str(counts.purged), plain(counts)), lambda: assent.write(_purged(counts)))


def _stopped(counts: StopCounts) -> str:
    return f"{counts.stopped} stopped before they began, {counts.stopping} told to stop"


def _updated(count: int) -> str:
    return f"{count} updated"


def _purged(counts: PurgeCounts) -> str:
    parts = [f"{counts.purged} deleted"]
    if counts.stopping:
        parts.append(f"{counts.stopping} told to stop and still there")
    if counts.locked:
        parts.append(f"{counts.locked} locked")
    if counts.unended:
        parts.append(f"{counts.unended} not ended (--stop stops them first)")
    return ", ".join(parts)
