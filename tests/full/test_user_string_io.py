# SPDX-License-Identifier: GPL-2.0-or-later
"""INS and OUTS in ring 3: without the right to the port they fault before they touch memory (SDM 1 19.5)."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvisor.vmm.config import DomainConfig
from pvisor.vmm.run import run_domain
from tests.emu.machine import build_text

pytestmark = pytest.mark.needs_gcc

GUEST = r"""
#include "user.h"

static volatile uint32_t data[4] = {0x11111111, 0x22222222, 0x33333333, 0x44444444};

static void try_all(void)
{
    USER("insb", "nop; insb", "d"(0x3f8), "D"(data));
    USER("insw", "insw", "d"(0x3f8), "D"(data));
    USER("rep insl", "mov $3, %%ecx; rep insl", "d"(0x3f8), "D"(data));
    USER("none", "xor %%ecx, %%ecx; rep insb", "d"(0x3f8), "D"(data));
    USER("outsb", "nop; outsb", "d"(0x80), "S"(data));
    USER("outsb of nothing", "nop; outsb", "d"(0x80), "S"(0x7ff00000));
    USER("flags", "mov $1, %%ecx; cmp $2, %%ecx; insb", "d"(0x3f8), "D"(data));
}

static void show_data(void)
{
    for (unsigned i = 0; i < 4; i++)
        show("data", data[i]);
}

int main(void)
{
    user_set_up();
    for (unsigned i = 0; i < sizeof task_state.io_map; i++)
        task_state.io_map[i] = 0xff;
    try_all();
    show("carry", trap.flags & 1);
    show_data();
    user_flags |= 0x3000;
    USER("allowed", "mov $2, %%ecx; rep insl; insb", "d"(0x5678), "D"(data));
    show_data();
    return 0;
}
"""


EXPECTED = """\
insb: vector 13, error 0x0, at +1, in ring 3
insw: vector 13, error 0x0, at +0, in ring 3
rep insl: vector 13, error 0x0, at +5, in ring 3
none: vector 13, error 0x0, at +2, in ring 3
outsb: vector 13, error 0x0, at +1, in ring 3
outsb of nothing: vector 13, error 0x0, at +1, in ring 3
flags: vector 13, error 0x0, at +8, in ring 3
carry: 0x1
data: 0x11111111
data: 0x22222222
data: 0x33333333
data: 0x44444444
allowed: nothing
data: 0xffffffff
data: 0xffffffff
data: 0x333333ff
data: 0x44444444
"""


@pytest.mark.parametrize("bits", (32, 64))
@pytest.mark.parametrize(("mode", "tier"), [("full", "native"), ("full", "python"), ("emu", "native")])
def test_rights_come_first(tmp_path: Path, mode: str, tier: str, bits: int) -> None:
    result = run_domain(DomainConfig(build_text(GUEST, bits, tmp_path), mode, tier=tier, max_insns=1_000_000))
    assert result.output.decode() == EXPECTED
