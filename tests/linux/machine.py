# SPDX-License-Identifier: GPL-2.0-or-later
"""Boots Debian's kernel with commands typed at its console: here by a pipe, in QEMU behind its prompt."""

from __future__ import annotations

import hashlib
import json
import os
import select
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cli.support import command, environment
from tests.linux.packages import cloud_kernel

PROMPT = "/root # "
TIMEOUT_S = 300
QEMU = (
    "qemu-system-x86_64 -accel tcg -machine pc,hpet=off -display none -serial stdio -monitor none "
    "-nodefaults -no-reboot"
)
"""A PC as much like pvisor's as QEMU has one: no HPET, no graphics card."""

_HOST_KEYS = ("wall_ns", "first_to_last_byte_ns", "repair")


@dataclass(frozen=True, slots=True)
class Booted:
    """What a boot left behind."""

    status: int
    console: str
    said: str
    facts: dict[str, object]
    """What `--stats` wrote."""

    @property
    def answers(self) -> str:
        """The console from the first prompt on."""
        _, _, rest = self.console.partition("\ninit: a shell on ")
        return "\n".join(rest.split("\n")[1:])

    @property
    def fingerprint(self) -> str:
        """A hash of all that must repeat: the console, the exits by reason, the virtual times."""
        facts = {key: value for key, value in self.facts.items() if key not in _HOST_KEYS}
        facts["exits"] = _without_host_times(facts.get("exits"))
        text = json.dumps([self.status, self.console, facts], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def _without_host_times(exits: object) -> dict[str, object]:
    """Exits by reason, with how many there were and who served them."""
    assert isinstance(exits, dict)
    return {
        reason: {key: value for key, value in row.items() if key != "wall_ns"}
        for reason, row in exits.items()
    }


def run_options(
    initrd: Path, mode: str, cmdline: str, memory: str, options: Sequence[str | Path]
) -> list[str | Path]:
    """The words of `pvisor run`."""
    kernel, words = cloud_kernel().vmlinuz, f"console=ttyS0 {cmdline}".strip()
    return [
        "run",
        kernel,
        "--initrd",
        initrd,
        "--cmdline",
        words,
        "--memory",
        memory,
        "--mode",
        mode,
        *options,
    ]


def boot(
    initrd: Path, mode: str, lines: Sequence[str], *, cmdline: str = "", memory: str = "128M",
    options: Sequence[str | Path] = (), timeout_s: float = TIMEOUT_S,
) -> Booted:  # fmt: skip
    """Boot, type lines, and wait for the end. The statistics lie beside the initramfs."""
    stats = initrd.with_name(f"stats-{mode}.json")
    words = run_options(initrd, mode, cmdline, memory, [*options, "--stats", stats])
    typed = "".join(f"{line}\n" for line in lines)
    done = subprocess.run(
        command(*words),
        input=typed.encode(),
        capture_output=True,
        timeout=timeout_s,
        env=environment(),
        check=False,
    )
    console = done.stdout.decode("utf-8", "replace").replace("\r", "")
    facts = json.loads(stats.read_text("utf-8")) if stats.is_file() else {}
    return Booted(done.returncode, console, done.stderr.decode(), facts)


def boot_in_qemu(
    initrd: Path,
    lines: Sequence[str],
    *,
    cmdline: str = "",
    memory: str = "128M",
    timeout_s: float = TIMEOUT_S,
) -> Booted:
    """The same in QEMU. Its time is the host's, so each line is typed when the prompt is there."""
    kernel, append = cloud_kernel().vmlinuz, f"console=ttyS0 {cmdline}".strip()
    words = [*QEMU.split(), "-m", memory, "-kernel", str(kernel), "-initrd", str(initrd), "-append", append]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdin is not None and child.stdout is not None and child.stderr is not None
        console = b""
        deadline = time.monotonic() + timeout_s
        waiting = list(lines)
        n_prompts = 0
        try:
            while part := _next_part(child.stdout.fileno(), deadline):
                console += part
                if waiting and console.count(b"\n" + PROMPT.encode()) > n_prompts:
                    n_prompts += 1
                    child.stdin.write(waiting.pop(0).encode() + b"\n")
                    child.stdin.flush()
            status = child.wait(timeout_s)
        finally:
            child.kill()
        said = child.stderr.read().decode()
    return Booted(status, console.decode("utf-8", "replace").replace("\r", ""), said, {})


def _next_part(fd: int, deadline: float) -> bytes:
    """What comes next; nothing at the end."""
    left_s = deadline - time.monotonic()
    assert left_s > 0 and select.select([fd], [], [], left_s)[0], "QEMU says nothing more"
    return os.read(fd, 65536)
