# SPDX-License-Identifier: GPL-2.0-or-later
"""Bare PC kernels that use screen and keyboard: what is to be seen at the end, here and under QEMU.

QEMU's adapter is a VGA. Its start address does not wrap at 16 KiB, so the guests let it wrap nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from pvisor.domain.outcome import EndedBy
from pvisor.full.screen import Cursor, Picture
from pvisor.machine.console import HostInput
from pvisor.vmm.config import DomainConfig, RunResult
from pvisor.vmm.run import run_domain
from tests.guests import elves
from tests.qemu import pc
from tests.qemu.monitor import monitored

pytestmark = pytest.mark.needs_gcc
LANES = [("full", "native"), ("full", "python"), ("emu", "native")]
CURSOR, START, TEXT_GPA = 0x0E, 0x0C, 0xB8000

SERIAL = b"""\
start: 0x190
cursor: 0x87b
its last line: 0xf
the first place: 0x1f41
vertical retrace: 0x1
  and not: 0x1
no display: 0x1
  display: 0x1
done
"""
PICTURE = (
    " " * 30 + "A title, in white on blue",
    "╔" + "═" * 78 + "╗",
    "║ " + "".join(f"{digit}■ " for digit in "0123456789abcdef").ljust(77) + "║",
    "║ " + "This blinks, ☺ and ß is a letter.".ljust(77) + "║",
    "╚" + "═" * 78 + "╝",
    *(f"    line {number}" for number in range(12, 30)),
    "",
    " " * 79 + "!",
)

TYPED = b"Hello, World\nwrong\b\b\b\b\bright\n\x01~ 100%\x1b"
KEYS = (
    *("shift-h", *"ello", "comma", "spc", "shift-w", *"orld", "ret", *"wrong", *["backspace"] * 5, *"right"),
    *("ret", "ctrl-a", "shift-grave_accent", "spc", *"100", "shift-5", "esc"),
)
"""The same as names that QEMU knows."""
SHOWN = (">Hello, World", "right", "^a~ 100%")


class Look:
    """A viewer that keeps the last picture."""

    def __init__(self) -> None:
        self.picture: Picture

    @contextmanager
    def __call__(self, look: Callable[[], Picture]) -> Iterator[None]:
        assert look().written() == ()
        yield
        self.picture = look()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Build a guest once: `built(name, bits, *macros)`."""

    def build(name: str, bits: int, *macros: str) -> Path:
        return pc.build_source(pc.GUESTS / f"{name}.c", bits, tmp_path_factory.mktemp("pc"), macros)

    return lru_cache(None)(build)


def run(elf: Path, mode: str, tier: str, folder: Path, typed: bytes = b"", **more: Any) -> RunResult:
    """Run a guest with its user at the keyboard."""
    path = folder / "typed"
    path.write_bytes(typed)
    config = DomainConfig(elf, mode=mode, tier=tier, screen=True, max_insns=200_000_000, timeout_s=60)
    with path.open("rb") as file:
        return run_domain(config, input=HostInput(file.fileno()), **more)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize(("mode", "tier"), LANES)
def test_what_is_on_the_screen(built: Any, tmp_path: Path, mode: str, tier: str, bits: int) -> None:
    look = Look()
    result = run(built("screen", bits), mode, tier, tmp_path, viewer=look)
    assert (result.ending.ended_by, result.ending.status) == (EndedBy.GUEST, 1), result.ending.reason
    assert result.output == SERIAL
    assert result.screen == PICTURE
    assert look.picture.written() == PICTURE
    assert look.picture.cursor == Cursor(22, 11, 0, 15)
    cells = look.picture.cells()
    assert cells[0][30] == ("A", 15, 1, False)
    assert cells[2][2 + 3 * 6 + 1] == ("■", 15, 6, False)
    assert cells[3][2] == ("T", 12, 0, True)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.needs_qemu
def test_qemu_shows_the_same(built: Any, tmp_path: Path, bits: int) -> None:
    look = Look()
    run(built("screen", bits), "full", "native", tmp_path, viewer=look)
    with monitored(built("screen", bits, "STAY=1"), tmp_path) as machine:
        machine.wait_for(b"done\n")
        assert machine.serial == SERIAL
        start = machine.crtc_pair(START)
        at = machine.crtc_pair(CURSOR) - start
        shown = machine.memory(TEXT_GPA + 2 * start, 25 * 160)
    assert tuple(shown[i : i + 160] for i in range(0, len(shown), 160)) == look.picture.rows
    assert look.picture.cursor is not None
    assert divmod(at, 80) == look.picture.cursor[:2]


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize(("mode", "tier"), LANES)
def test_keys_come_by_interrupts(built: Any, tmp_path: Path, mode: str, tier: str, bits: int) -> None:
    result = run(built("keys", bits), mode, tier, tmp_path, TYPED)
    assert result.screen == SHOWN
    assert result.output == b"ready\nstrays: 0x0\ndone\n"
    assert result.ending.ended_by is EndedBy.GUEST


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.needs_qemu
def test_qemu_types_the_same(built: Any, tmp_path: Path, bits: int) -> None:
    with monitored(built("keys", bits, "STAY=1"), tmp_path) as machine:
        machine.wait_for(b"ready\n")
        for key in KEYS:
            assert machine.ask(f"sendkey {key} 5") == ""
        machine.wait_for(b"done\n")
        shown = machine.memory(TEXT_GPA, 25 * 160)
    rows = [shown[i : i + 160 : 2].decode("cp437").rstrip() for i in range(0, len(shown), 160)]
    assert rows == [*SHOWN, *[""] * 22]


def test_runs_and_tiers_leave_the_same_trace(built: Any, tmp_path: Path) -> None:
    def facts(tier: str) -> tuple[object, ...]:
        records: list[tuple[object, ...]] = []

        def keep(batch: Any) -> None:
            records.extend((x.virtual_ns, x.rip, x.reason, *x.ops[0 : x.n_ops]) for x in batch)

        result = run(built("keys", 64), "full", tier, tmp_path, TYPED, trace=keep)
        return records, result.virtual_ns, result.screen

    first = facts("native")
    assert facts("native") == first
    assert facts("python") == first


@pytest.mark.parametrize("mode", ["full", "emu"])
def test_what_is_typed_before_the_kernel_is_up_is_not_lost(built: Any, tmp_path: Path, mode: str) -> None:
    """The bytes have come long before it empties the buffer and sets up its interrupts."""
    slow = built("keys", 64, "BOOT_LOOPS=2000000")
    result = run(slow, mode, "native", tmp_path, TYPED)
    assert result.virtual_ns > 6_000_000
    assert result.screen == SHOWN


def test_many_lines_scroll(built: Any, tmp_path: Path) -> None:
    lines = [f"line {number}" for number in range(60)]
    result = run(built("keys", 64), "full", "native", tmp_path, "\n".join(lines).encode() + b"\x1b")
    assert list(result.screen) == lines[-25:]


def test_a_guest_that_polls_gets_its_keys(tmp_path: Path) -> None:
    source = tmp_path / "polls.c"
    source.write_text(
        """#include "text.h"
int main(void)
{
    outb(0x64, 0x60); /* no interrupts, scan codes of set 1 */
    outb(0x60, 0x40);
    for (unsigned n = 0; n < 4;) {
        while (!(inb(0x64) & 1))
            ;
        SCREEN[n++] = (uint16_t)(0x0700 | inb(0x60));
    }
    return 0;
}
"""
    )
    result = run(pc.build_source(source, 64, tmp_path), "full", "native", tmp_path, b"no")
    assert result.screen == (bytes((0x31, 0xB1, 0x18, 0x98)).decode("cp437").replace("\x18", "↑"),)


def test_without_a_user_at_the_keyboard_input_is_the_serial_ports(built: Any, tmp_path: Path) -> None:
    path = tmp_path / "typed"
    path.write_bytes(TYPED)
    with path.open("rb") as file:
        result = run_domain(DomainConfig(built("keys", 64), mode="full"), input=HostInput(file.fileno()))
    assert result.screen == (">",)
    assert result.ending.ended_by is EndedBy.IDLE


def test_a_paravirtual_run_has_no_screen(tmp_path: Path) -> None:
    result = run_domain(DomainConfig(elves.build("exit_status", "para", tmp_path), mode="para"))
    assert result.screen == ()
