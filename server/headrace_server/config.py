"""Settings: one frozen value, read once.

Every setting is an environment variable with the prefix HEADRACE_ and a flag of the same name, the
flag stronger; a file in the form NAME=value is read where HEADRACE_ENV_FILE names one.
GetServerInfo shows them, secrets masked.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AliasChoices,
    BeforeValidator,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from headrace_server.domain.broadcast import DEFAULT_KINDS
from headrace_server.domain.event import EventKind

DEFAULT_ADDRESS = "127.0.0.1:50551"
JOB_ROOM_KIB = 2048
"""The KiB that a job may need in a message besides its parameters and results."""
DATABASES = ("sqlite:///", "postgresql://")
YEARS = 100 * 365 * 86_400.0
LOOPBACK = ("127.", "localhost", "[::1]", "::1")


def _parts(text: str) -> tuple[str, ...]:
    """Return the parts of a text that commas separate."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


Words = Annotated[
    tuple[str, ...],
    NoDecode,
    BeforeValidator(lambda value: _parts(value) if isinstance(value, str) else value),
]
"""A list: separated by commas in the environment and where it is shown, a flag for each part."""


class BadSettings(Exception):
    """Settings cannot be used; the text names each and says why."""


class Settings(BaseSettings):
    """The settings of an instance.

    Lengths of time are in seconds, and sizes are in MiB where the name says so.
    """

    model_config = SettingsConfigDict(
        env_prefix="HEADRACE_", frozen=True, extra="forbid", populate_by_name=True
    )

    database_url: str = Field(
        default="sqlite:///headrace.db",
        validation_alias=AliasChoices("HEADRACE_DATABASE_URL", "DATABASE_URL", "database_url"),
        description="Where jobs are kept: sqlite:///PATH, or postgresql://USER@HOST/DATABASE for many instances.",
    )
    durable: bool = Field(
        default=True, description="Sync every commit. false: a crash of the machine may lose jobs."
    )
    lease_time: float = Field(
        default=10.0,
        ge=1,
        le=3600,
        description="On PostgreSQL: how long an instance may be silent before others take its runs over.",
    )
    amqp_url: str = Field(
        default="",
        validation_alias=AliasChoices("HEADRACE_AMQP_URL", "AMQP_URL", "amqp_url"),
        description="RabbitMQ for status events: amqp://USER:PASSWORD@HOST/VHOST or amqps://…?cacertfile=PATH; several nodes of "
        "a cluster separated by commas. Empty: no events.",
    )
    events_exchange: str = Field(
        default="headrace.events",
        min_length=1,
        max_length=127,
        description="The topic exchange that events go to; declared durable, if it is not there.",
    )
    events_kinds: Words = Field(
        default=tuple(kind.name for kind in sorted(DEFAULT_KINDS)),
        description="Kinds of events that are broadcast, separated by commas in the environment; also "
        f"{', '.join(kind.name for kind in EventKind if kind not in DEFAULT_KINDS)}.",
    )
    events_format: Literal["json", "protobuf"] = Field(
        default="json", description="How the body of an event is written."
    )
    events_unroutable: Literal["keep", "drop"] = Field(
        default="keep",
        description="What becomes of an event that no queue wants. keep: it waits, and what follows of its job behind it; drop: "
        "it is let go, for where queues are bound to some statuses only.",
    )
    events_payload_kib: int = Field(
        default=0,
        ge=0,
        le=2048,
        description="Parameters (with the creation) and results (with the end) are in events too, where they are not larger than "
        "that; 0: never.",
    )
    events_progress_interval: float = Field(
        default=0.0,
        ge=0,
        le=3600,
        description="Also broadcast a job's progress, at most once in so long; 0: not at all.",
    )
    events_source: str = Field(
        default="/headrace",
        min_length=1,
        description="The ce-source of events: a URI that tells installations apart.",
    )
    command_queue: str = Field(
        default="",
        max_length=255,
        description="A queue of that broker on which StopJob commands are accepted; declared durable, if it is not there. "
        "Empty: none.",
    )
    address: str = Field(
        default=DEFAULT_ADDRESS, description="host:port to listen on; port 0 takes a free one."
    )
    insecure: bool = Field(
        default=False, description="Allow an address other than loopback, without authentication."
    )
    jobs: Words = Field(
        default=(), description="Modules that register jobs; in the environment separated by commas."
    )
    entry_points: bool = Field(default=True, description="Also load the entry points of group headrace.jobs.")
    load_time: float = Field(
        default=20.0,
        ge=0.1,
        le=3600,
        description="How long the import of one module of jobs may take; one that takes longer is left out.",
    )
    workers: int = Field(
        default=os.cpu_count() or 2, ge=0, le=1000, description="Worker processes; 0 runs no jobs."
    )
    worker_only: bool = Field(
        default=False,
        description="On PostgreSQL: run jobs and take no calls about them. Health, headrace info and instances are answered.",
    )
    queues: Words = Field(
        default=(),
        description="Run jobs of these queues only; in the environment separated by commas. Default: all.",
    )
    nice: int = Field(default=0, ge=0, le=19, description="Added to the workers' niceness.")
    max_jobs_per_worker: int = Field(
        default=10_000, ge=1, description="Runs after which a worker is replaced."
    )
    fresh_workers: bool = Field(
        default=False,
        description="Run each job in a worker process of its own; one for each worker is made ahead.",
    )
    max_worker_memory_mib: int = Field(
        default=1024, ge=32, description="Resident memory after a run above which a worker is replaced."
    )
    workspace: Path | None = Field(
        default=None,
        description="Folder below which the server makes one of its own for the jobs' private directories; what else is in it stays. Default: one in the temporary directory.",
    )
    drain_time: float = Field(
        default=30.0, ge=0, le=86_400, description="How long running jobs may go on at SIGTERM."
    )
    progress_interval: float = Field(
        default=1.0, ge=0.01, le=3600, description="Between stored progress of a job."
    )
    heartbeat_interval: float = Field(
        default=15.0, ge=0.05, le=3600, description="Between signs of life of a watch."
    )
    max_messages_per_attempt: int = Field(default=10_000, ge=0, description="Messages kept of each attempt.")
    max_output_kib: int = Field(
        default=1024, ge=1, description="Captured stdout and stderr kept of each run."
    )
    max_results_kib: int = Field(default=1024, ge=1, description="All results of a job together.")
    max_parameters_kib: int = Field(default=1024, ge=1, description="All parameters of a job together.")
    max_message_kib: int = Field(
        default=4096,
        ge=JOB_ROOM_KIB,
        le=1 << 20,
        description="A request. Above 4096, clients must allow such answers too.",
    )
    max_page_size: int = Field(default=1000, ge=1, le=1000, description="Jobs or events in a page.")
    max_call_time: float = Field(
        default=120.0, ge=2, le=3600, description="How long a call other than a stream may take."
    )
    max_calls: int = Field(
        default=1000, ge=1, description="Calls worked on at once; more are told to come again."
    )
    max_calls_mib: int = Field(default=64, ge=1, description="Their requests together.")
    max_unread_mib: int = Field(
        default=256,
        ge=1,
        description="Answers that clients have not read yet; beyond, calls are told to come again.",
    )
    max_unread_mib_per_connection: int = Field(
        default=32, ge=1, description="Those of one client connection."
    )
    max_unread_time: float = Field(
        default=30.0,
        ge=1,
        le=3600,
        description="A connection on which no answer has been read for so long, and that holds many, is cut.",
    )
    max_watchers: int = Field(default=20_000, ge=1, description="Open watches and waits.")
    max_streams_per_connection: int = Field(
        default=1000, ge=1, description="Streams of one client connection."
    )
    max_waiting_jobs: int = Field(
        default=1_000_000,
        ge=1,
        description="Jobs held or queued; more submits are told to come again. Of several instances each counts what the others "
        "have changed every 10 s.",
    )
    retention_succeeded: float = Field(
        default=86_400.0, ge=0, le=YEARS, description="How long a job that succeeded is kept; 0: for ever."
    )
    retention_failed: float = Field(
        default=30 * 86_400.0, ge=0, le=YEARS, description="How long a job that failed is kept; 0: for ever."
    )
    retention_aborted: float = Field(
        default=30 * 86_400.0,
        ge=0,
        le=YEARS,
        description="How long a job that was aborted is kept; 0: for ever.",
    )
    sweeps: bool = Field(default=True, description="false: this instance deletes nothing by itself.")
    sweep_interval: float = Field(
        default=60.0, ge=0.05, le=86_400, description="Between two looks for jobs that are to be deleted."
    )
    warn_free_disk_mib: int = Field(
        default=2048, ge=0, description="Free disk space for workspaces below which the log warns."
    )
    min_free_disk_mib: int = Field(
        default=512, ge=0, description="Below this no job starts that needs a workspace."
    )
    reflection: bool = Field(default=True, description="Offer gRPC server reflection.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level logged."
    )
    log_format: Literal["auto", "console", "json"] = Field(
        default="auto", description="auto: console on a terminal, json elsewhere."
    )

    @field_validator("workspace", mode="before")
    @classmethod
    def _folder(cls, value: Any) -> Any:
        # Path("") is the folder that one stands in: nobody means that by leaving a variable empty.
        return value or None

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        kind, _, rest = value.partition(":")
        if kind == "postgres":  # as some who host databases write it
            return f"postgresql:{rest}"
        if not any(value.startswith(known) and len(value) > len(known) for known in DATABASES):
            raise ValueError("it is sqlite:///PATH or postgresql://USER@HOST/DATABASE")
        return value

    @field_validator("amqp_url")
    @classmethod
    def _broker(cls, value: str) -> str:
        for url in _parts(value):
            parts = urlsplit(url)
            if parts.scheme not in ("amqp", "amqps") or not parts.hostname:
                raise ValueError("it is amqp://USER:PASSWORD@HOST/VHOST, or amqps://")
        return value

    @field_validator("events_kinds")
    @classmethod
    def _known_kinds(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        kinds = tuple(name.upper() for name in value)
        unknown = [name for name in kinds if name not in EventKind.__members__]
        if unknown or not kinds:
            raise ValueError(
                f"{', '.join(unknown) or 'nothing'}: there are {', '.join(EventKind.__members__)}"
            )
        return kinds

    @model_validator(mode="after")
    def _loopback(self) -> Self:
        host, _, port = self.address.rpartition(":")
        if not host or not port.isdigit():
            raise ValueError(f"address {self.address!r} is not host:port")
        if not self.insecure and not host.startswith(LOOPBACK):
            raise ValueError(
                f"address {self.address} is open to other machines and there is no authentication yet: "
                "add --insecure if that is meant"
            )
        return self

    @model_validator(mode="after")
    def _needs_broker(self) -> Self:
        if self.command_queue and not self.amqp_url:
            raise ValueError("command_queue is a queue of the broker that amqp_url names, and there is none")
        return self

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if self.worker_only and not self.shared:
            raise ValueError(
                "worker_only is for a database that other instances serve callers from, so not for SQLite"
            )
        if self.worker_only and not self.workers:
            raise ValueError("worker_only with workers=0 leaves an instance with nothing to do")
        return self

    @model_validator(mode="after")
    def _fits(self) -> Self:
        # A job is answered as one message: parameters, results, and room for what else there is of
        # it.
        if self.max_parameters_kib + self.max_results_kib + JOB_ROOM_KIB > self.max_message_kib:
            raise ValueError(
                f"max_parameters_kib and max_results_kib together must stay {JOB_ROOM_KIB} below max_message_kib, "
                f"or some jobs could not be answered: they are {self.max_parameters_kib} and "
                f"{self.max_results_kib} of {self.max_message_kib}"
            )
        return self

    @property
    def shared(self) -> bool:
        """Whether other instances may serve the same database."""
        return not self.database_url.startswith("sqlite:")

    @property
    def broadcast_kinds(self) -> frozenset[EventKind]:
        """The kinds of events that are broadcast; none without a broker."""
        return frozenset(EventKind[name] for name in self.events_kinds) if self.amqp_url else frozenset()

    @property
    def broadcast_payload_bytes(self) -> int:
        """How much of parameters and results is broadcast with an event; 0: nothing."""
        return self.events_payload_kib << 10

    @property
    def brokers(self) -> Sequence[str]:
        """The URLs of the broker's nodes."""
        return _parts(self.amqp_url)

    def workspace_root(self) -> Path:
        """The folder in which each instance has its own, for the jobs' private directories."""
        if self.workspace is not None:
            return self.workspace
        if self.shared:
            url = urlsplit(self.database_url)
            place = f"{url.hostname or 'local'}{url.path}"
        else:
            place = str(Path(self.database_url.removeprefix("sqlite:///")).resolve())
        name = place.replace("/", "-").strip("-")
        return Path(tempfile.gettempdir()) / f"headrace-{os.getuid()}" / name[-200:]

    def workspace_below(self) -> Path | None:
        """The folder for temporary files, in which every user may write, or None.

        Workspaces lie there when no folder was given for them. It is None when one was given.
        """
        return None if self.workspace is not None else Path(tempfile.gettempdir())

    def shown(self) -> Mapping[str, str]:
        """Every setting as text, secrets masked."""
        shown = {
            name: ",".join(value) if isinstance(value, tuple) else str(value)
            for name, value in self.model_dump().items()
        }
        shown["workspace"] = str(self.workspace_root())
        for name, urls in (("database_url", [self.database_url]), ("amqp_url", self.brokers)):
            for url in urls:
                if password := urlsplit(url).password:
                    shown[name] = shown[name].replace(f":{password}@", ":***@")
        return shown


def read_settings(flags: Mapping[str, Any]) -> Settings:
    """Settings from flags (None: not given), environment and file. Raises BadSettings."""
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return Settings(_env_file=os.environ.get("HEADRACE_ENV_FILE"), **given)  # type: ignore[call-arg] # pydantic-settings
    except ValidationError as error:
        raise BadSettings("; ".join(_sentence(item) for item in error.errors())) from None


def _sentence(item: Mapping[str, Any]) -> str:
    name = ".".join(str(part) for part in item["loc"]).lower().removeprefix("headrace_")
    text = str(item["msg"]).removeprefix("Value error, ")
    return f"setting {name}: {text}" if name else text
