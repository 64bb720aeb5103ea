"""Read, and restore where possible, what the kernel and the C library know of a process.

Each trait costs a file of /proc or a foreign call.

One that this system does not have, or does not let be asked, has the same value at any time.
"""

import ctypes
import os
import signal
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from headrace_server.work.child.process_state import Trait

_libc = ctypes.CDLL(None, use_errno=True)
_WORDS = {
    "dumpable": (3, 4),
    "keepcaps": (7, 8),
    "securebits": (27, 28),
    "timer slack": (30, 29),
    "huge pages": (42, 41),
}
"""The options that prctl answers as a number: how to ask, how to set."""
_POINTED = {"signal at the end of its parent": (2, 1), "adoption of orphans": (37, 36)}
"""The options whose value prctl writes to an address: how to ask, how to set."""
_NAME = (16, 15)
_NAME_SIZE = 16
_IOPRIO = {"x86_64": (252, 251), "aarch64": (31, 30)}.get(os.uname().machine)
_SIGNALS = (b"SigIgn", b"SigCgt")
_WITHIN = (b"CapInh", b"CapPrm", b"CapEff", b"CapBnd", b"CapAmb", b"NoNewPrivs", b"Seccomp")
_ANY_SIGNAL = sum(1 << (number - 1) for number in signal.valid_signals())
"""Without those that the C library uses itself, once there are threads."""
_SAME_PERSONALITY = 0xFFFFFFFF


def _call(function: str, *arguments: Any) -> None:
    """Call a function of the C library that answers -1 for an error. Raises OSError."""
    if getattr(_libc, function)(*arguments) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _long(value: int) -> ctypes.c_ulong:
    return ctypes.c_ulong(value)


def _word(option: int) -> int:
    return int(_libc.prctl(option, *map(_long, (0, 0, 0, 0))))


def _set(option: int, value: int) -> None:
    _call("prctl", option, *map(_long, (value, 0, 0, 0)))


def _pointed(option: int) -> int:
    value = ctypes.c_int()
    _libc.prctl(option, ctypes.byref(value), *map(_long, (0, 0, 0)))
    return value.value


def _name() -> bytes:
    name = ctypes.create_string_buffer(_NAME_SIZE)
    _libc.prctl(_NAME[0], name, *map(_long, (0, 0, 0)))
    return name.value


def _set_name(name: bytes) -> None:
    _call("prctl", _NAME[1], ctypes.c_char_p(name), *map(_long, (0, 0, 0)))


def _file(name: str) -> bytes:
    try:
        descriptor = os.open(f"/proc/self/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(descriptor, 16_384)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def _status() -> dict[bytes, bytes | int]:
    lines = dict(line.partition(b":")[::2] for line in _file("status").splitlines())
    masks = {name: int(lines[name], 16) & _ANY_SIGNAL for name in _SIGNALS if name in lines}
    # It has asked to be traced: then the next signal stops it, and nobody lets it go on. A debugger
    # is somebody else.
    traced = lines.get(b"TracerPid", b"").strip() == b"%d" % os.getppid()
    return masks | {b"traced": traced} | {name: lines[name] for name in _WITHIN if name in lines}


def _locks_memory() -> bool:
    return b"\nVmLck:\t       0 kB" not in _file("status")


def _set_oom(value: bytes) -> None:
    Path("/proc/self/oom_score_adj").write_bytes(value)


def _scheduler() -> tuple[int, int]:
    return os.sched_getscheduler(0), os.sched_getparam(0).sched_priority


def _set_scheduler(value: tuple[int, int]) -> None:
    os.sched_setscheduler(0, value[0], os.sched_param(value[1]))


def _root() -> tuple[int, int]:
    found = Path("/").stat()
    return found.st_dev, found.st_ino


def _namespaces() -> tuple[str, ...]:
    return tuple(os.readlink(f"/proc/self/ns/{name}") for name in ("mnt", "net", "user", "uts"))  # noqa: PTH115 - quickly


def _variables() -> dict[bytes, bytes]:
    """The environment as C code and execv see it; os.environ may know nothing of it."""
    first = ctypes.POINTER(ctypes.c_char_p).in_dll(_libc, "environ")
    found: list[bytes] = []
    while first and (variable := first[len(found)]) is not None:
        found.append(variable)
    return dict(variable.partition(b"=")[::2] for variable in found)


def _set_variables(variables: dict[bytes, bytes]) -> None:
    now = _variables()
    for name in now.keys() - variables.keys():
        os.unsetenv(name)
    for name, value in variables.items():
        if now.get(name) != value:
            os.putenv(name, value)
    time.tzset()  # C code may have been told of a zone that os.environ does not know


def _io_priority(get: int) -> int:
    return int(_libc.syscall(get, 1, 0))


def kernel_traits() -> Sequence[Trait]:
    """Those of this system."""
    traits = [
        Trait(f"its {name}", partial(_word, get), partial(_set, change))
        for name, (get, change) in _WORDS.items()
    ]
    traits += [
        Trait(f"its {name}", partial(_pointed, get), partial(_set, change))
        for name, (get, change) in _POINTED.items()
    ]
    traits += [
        Trait("its name", _name, _set_name),
        Trait("variables of C code", _variables, _set_variables),
        Trait("its scheduler", _scheduler, _set_scheduler),
        Trait("its chance to be killed for memory", partial(_file, "oom_score_adj"), _set_oom),
        Trait("locked memory", _locks_memory, lambda _locked: _call("munlockall")),
        Trait("its personality", lambda: _libc.personality(_SAME_PERSONALITY), partial(_call, "personality")),
        Trait("POSIX timers", partial(_file, "timers")),
        Trait("signals, capabilities or filters of the kernel", _status),
        Trait("its root directory", _root),
        Trait("its namespaces", _namespaces),
    ]
    if _IOPRIO is not None:
        get, change = _IOPRIO
        traits.append(
            Trait("its I/O priority", partial(_io_priority, get), partial(_call, "syscall", change, 1, 0))
        )
    if hasattr(_libc, "fegetround"):
        traits.append(Trait("the rounding of floats", _libc.fegetround, _libc.fesetround))
    return traits
