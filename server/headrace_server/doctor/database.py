"""The database: its folder, its lock, its schema, its integrity."""

from collections.abc import Iterator
from pathlib import Path

from headrace_server.doctor import folders
from headrace_server.doctor.finding import Finding, Level, ok, problem, warning
from headrace_server.store import (
    NETWORK_FILESYSTEMS,
    StoreRefused,
    database_file,
    file_system,
    holder,
    inspect,
    refuse_other_names,
)


def look(url: str) -> Iterator[Finding]:
    """Everything about the database of a URL, as far as what comes first allows it."""
    try:
        path = database_file(url)
        yield (place := _place(path))
        if not path.parent.is_dir():
            return
        yield _lock(url)
        if path.exists():
            yield from _file(url, path)
        elif place.level is not Level.PROBLEM:
            yield ok("schema", f"{path} is not there yet: the server makes it.")
    except StoreRefused as error:
        yield problem("database", str(error))


def _place(path: Path) -> Finding:
    """Raises StoreRefused for a file with two names."""
    folder = path.parent
    kind = file_system(folder)
    if kind in NETWORK_FILESYSTEMS:
        return problem(
            "database",
            f"{folder} lies on a network file system ({kind}), where locks cannot be trusted: give a path on a local disk.",
        )
    if not folder.exists():
        return problem("database", f"{folder} does not exist: make it, or give another --database-url.")
    if path.is_file():
        refuse_other_names(path)
    return _refused("database", folder) or _refused_file(path) or folders.room("database", folder)


def _refused(subject: str, folder: Path) -> Finding | None:
    trouble = folders.trouble(folder)
    return problem(subject, f"{trouble} Or give another --database-url.") if trouble else None


def _refused_file(path: Path) -> Finding | None:
    for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm"), Path(f"{path}.lock")):
        if file.is_dir():
            return problem("database", f"{file} is a folder where a file should be: move it away.")
        try:
            if file.exists():
                file.open("r+b").close()
        except OSError as error:
            return problem(
                "database",
                f"{file} cannot be written ({error.strerror}): give it to the user who runs the server.",
            )
    return None


def _lock(url: str) -> Finding:
    held = holder(url)
    if held is None:
        return ok("lock", "No server serves this database.")
    if held.alive:
        return ok(
            "lock",
            f"Process {held.pid} on {held.host} serves this database, which is fine while it is the server that is meant: a second one would be refused.",
        )
    return warning(
        "lock",
        f"Process {held.pid} on {held.host} has ended, but processes that it started still hold the lock: a server waits 10 s for them; end them if they stay.",
    )


def _file(url: str, path: Path) -> Iterator[Finding]:
    found = inspect(url)
    state = found.state
    if state.serves:
        yield ok(
            "schema",
            f"The tables are of a newer version ({state.current}) and serve this one ({state.head}) too.",
        )
    elif not state.known:
        yield problem(
            "schema",
            f"{path} was written by a newer Headrace (schema {state.current}; this version knows up to {state.head}): upgrade Headrace, or give another --database-url.",
        )
    elif state.up_to_date:
        yield ok("schema", f"The tables are those of this version ({state.head}).")
    else:
        yield ok(
            "schema",
            f"The database has {f'schema {state.current}' if state.current else 'no tables'}: the server, or `headrace db upgrade`, brings it to {state.head}.",
        )
    if found.damage:
        yield problem(
            "integrity",
            f"{path} is damaged ({found.damage[0]}): stop the server and put a backup in its place.",
        )
    else:
        yield ok("integrity", "SQLite's quick_check finds nothing wrong.")
