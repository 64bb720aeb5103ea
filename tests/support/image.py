"""What `docker build` and `docker run` would do, without docker: a Dockerfile's steps, word for
word.

Each stage has a file system of its own: the machine's, seen through an overlay that keeps what is
written in memory. All of it is in a mount namespace, and goes with its last process. RUN is carried
out as root below that root; what FROM names is not looked at, so the machine's Python stands in for
the image's.

    FROM a AS build ──> overlay ── COPY, RUN … ──┐ COPY --from=build
    FROM b          ──> overlay ── RUN, ENV … <──┘ ──> CMD, as USER, in WORKDIR, with ENV alone
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PASSED_ON = (
    "PIP_",
    "SSL_",
    "REQUESTS_",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)
"""What a build on this machine needs of its environment to reach a package index."""
NAMESPACE = ("unshare", "--mount", "--propagation", "private")


@dataclass
class Image:
    """What the steps come to. script: the shell's lines that make it, below $W; its root is $R."""

    script: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    user: str = "root"
    folder: str = "/"
    signal: str = "SIGTERM"
    command: list[str] = field(default_factory=list)
    probe: list[str] = field(default_factory=list)
    stages: int = 0

    def run(
        self, folder: Path, mounts: Mapping[Path, str], environment: Mapping[str, str]
    ) -> "subprocess.Popen[bytes]":
        """Make it, its file systems mounted on an empty folder, and start its command; mounts are
        read-only.
        """
        given = {**self.environment, **environment}
        words = [
            "chroot", "$R", "setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups", "env", "-i",
            "-C", self.folder, *(f"{name}={text}" for name, text in given.items()), *self.command,
        ]  # fmt: skip
        lines = [
            f"W={shlex.quote(str(folder))}",
            *self.script,
            *(
                f'mkdir -p "$R{place}"; mount --bind -o ro {shlex.quote(str(folder))} "$R{place}"'
                for folder, place in mounts.items()
            ),
            "exec " + " ".join('"$R"' if word == "$R" else shlex.quote(word) for word in words),
        ]
        return subprocess.Popen([*NAMESPACE, "sh", "-ec", "\n".join(lines)], stderr=subprocess.PIPE)

    def health(self, process: "subprocess.Popen[bytes]") -> int:
        """Carry the health check out where the command runs; its exit code."""
        own = dict(
            pair.split("=", 1)
            for pair in Path(f"/proc/{process.pid}/environ").read_text().split("\0")
            if pair
        )
        enter = [
            "nsenter",
            f"--target={process.pid}",
            "--mount",
            "--root",
            "--wd",
            "setpriv",
            f"--reuid={self.user}",
        ]
        words = [*enter, f"--regid={self.user}", "--clear-groups", "env", "-i"]
        pairs = [f"{name}={text}" for name, text in own.items()]
        return subprocess.run([*words, *pairs, *self.probe], check=False, capture_output=True).returncode


def read(dockerfile: Path, context: Path) -> Image:
    """The steps of a Dockerfile. Raises KeyError for an instruction that is not known here."""
    image = Image()
    image.script = ['mount -t tmpfs tmpfs "$W"']
    text = dockerfile.read_text().replace("\\\n", " ")
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            word, _, rest = line.partition(" ")
            _STEPS[word](image, rest.strip(), context)
    return image


def _from(image: Image, rest: str, _context: Path) -> None:
    image.stages += 1
    name = rest.partition(" AS ")[2] or f"stage-{image.stages}"
    image.environment, image.user, image.folder = {}, "root", "/"
    python = Path(sys.executable).resolve()
    image.script += [
        f'S="$W/{name}"; R="$S/root"; mkdir -p "$S/up" "$S/work" "$R"',
        'mount -t overlay overlay -o "lowerdir=/,upperdir=$S/up,workdir=$S/work" "$R"',
        'for part in proc dev sys; do mount --rbind "/$part" "$R/$part"; done; mount -t tmpfs tmpfs "$R/tmp"; chmod 1777 "$R/tmp"',
        f'echo \'#!/bin/sh\nexec {python} "$@"\' > "$R/usr/local/bin/python"; chmod +x "$R/usr/local/bin/python"',
        # Where the machine's Python lies below a closed folder, the image's would not.
        *(f'chmod o+x "$R{parent}"' for parent in python.parents),
    ]


def _copy(image: Image, rest: str, context: Path) -> None:
    *sources, place = shlex.split(rest)
    root = context
    if sources[0].startswith("--from="):
        stage = sources.pop(0).removeprefix("--from=")
        origins = [f'"$W/{stage}/root{source}"' for source in sources]
    else:
        origins = [shlex.quote(str(root / source)) for source in sources]
    target = str(Path(image.folder) / place)
    image.script.append(f'mkdir -p "$R{Path(target).parent}"')
    for source, origin in zip(sources, origins, strict=True):
        whole = source.startswith("/") or (root / source).is_dir()
        into = f'"$R{target}"'
        # COPY of a folder copies what is in it.
        image.script.append(
            f"mkdir -p {into}; cp -a {origin}/. {into}" if whole else f"cp -a {origin} {into}"
        )


def _run(image: Image, rest: str, _context: Path) -> None:
    kept = [f"{name}={text}" for name, text in os.environ.items() if name.startswith(PASSED_ON)]
    given = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", *kept]
    given += [f"{name}={text}" for name, text in image.environment.items()]
    words = ["env", "-i", "-C", image.folder, *given, "sh", "-c", rest]
    image.script.append(f'chroot "$R" {shlex.join(words)} >&2')


def _workdir(image: Image, rest: str, _context: Path) -> None:
    image.folder = rest
    image.script.append(f'mkdir -p "$R{rest}"')


def _env(image: Image, rest: str, _context: Path) -> None:
    image.environment.update(pair.split("=", 1) for pair in shlex.split(rest))  # type: ignore[arg-type] # pairs


def _health(image: Image, rest: str, _context: Path) -> None:
    image.probe = json.loads(rest.partition(" CMD ")[2])


def _set(name: str, read: Callable[[str], object]) -> Callable[[Image, str, Path], None]:
    return lambda image, rest, _context: setattr(image, name, read(rest))


_STEPS: Mapping[str, Callable[[Image, str, Path], None]] = {
    "FROM": _from,
    "COPY": _copy,
    "RUN": _run,
    "WORKDIR": _workdir,
    "ENV": _env,
    "USER": _set("user", str),
    "STOPSIGNAL": _set("signal", str),
    "CMD": _set("command", json.loads),
    "HEALTHCHECK": _health,
    "EXPOSE": lambda _image, _rest, _context: None,
}
