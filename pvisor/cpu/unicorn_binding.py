# SPDX-License-Identifier: GPL-2.0-or-later
"""The yardstick from outside: the same operations on Unicorn's own Python binding, without pvisor's shim.

It does what a hypervisor written on the plain binding must do for each operation, and no more. Registers are
read and written by reg_read and reg_write; a trap is repaired by a saved context, made once and used again,
of which `ctypes` reaches the one field that the binding does not name. Nothing else of pvisor uses it.
"""

from __future__ import annotations

import ctypes
import struct
import time

import unicorn
from unicorn import x86_const as x86
from unicorn.unicorn_py3 import Uc

from pvisor.cpu.engine_start import start_engine
from pvisor.cpu.floor import LOOP_GVA, OLD_EXCEPTION, BareLoop

INSTRUCTIONS = ("vmcall", "cli", "out")
"""What the yardstick can do."""

_PAGE, _BOOT, _GDT, _TABLES, _STACK_TOP, _RAM_BYTES = 0x2000, 0x3000, 0x3100, 0x4000, 0x10000, 0x10000
_AS_TABLE, _AS_CODE, _AS_DATA = 3, 0x61, 0x63 | 1 << 63
_EFER = 0xC000_0080
_MARKER = 0x7079_7468_6F6E_2121
_WARM_UP = 50


class BindingLoop:
    """A bare loop on an engine of the binding, entered at ring 1."""

    def __init__(self, loop: BareLoop) -> None:
        self.n_exits = 0
        self.virtual_if = True
        self._end = LOOP_GVA + len(loop.code)
        self._uc = Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
        self._uc.mem_map(0, _RAM_BYTES)
        self._lay_out(loop)
        self._set_up_cpu()
        self._add_hook(loop.instruction)
        self._run(_BOOT, _WARM_UP)

    def sample(self, n_operations: int) -> float:
        """Nanoseconds of one operation."""
        return self._run(LOOP_GVA, n_operations) / n_operations

    def _run(self, start: int, n_operations: int) -> int:
        self._uc.reg_write(x86.UC_X86_REG_R15, n_operations)
        before, begin = self.n_exits, time.perf_counter_ns()
        self._uc.emu_start(start, self._end)
        spent = time.perf_counter_ns() - begin
        if self.n_exits - before != n_operations or self._uc.reg_read(x86.UC_X86_REG_RIP) != self._end:
            raise RuntimeError("the loop on the plain binding did not run to its end")
        return spent

    def _lay_out(self, loop: BareLoop) -> None:
        """Code, hypercall page, a way into ring 1, and tables that map no page writable and executable."""
        tables = [[0] * 512 for _ in range(7)]
        table_at = [_TABLES + 0x1000 * i | _AS_TABLE for i in range(7)]
        tables[0][0], tables[1][0], tables[2][0] = table_at[1:4]
        tables[3][1:16] = [page << 12 | _AS_DATA for page in range(1, 16)]
        tables[3][LOOP_GVA >> 12], tables[3][_BOOT >> 12] = LOOP_GVA | _AS_CODE, _BOOT | _AS_CODE
        tables[0][256], tables[4][0], tables[5][0] = table_at[4:7]
        tables[6][1] = _PAGE | _AS_CODE
        for i, table in enumerate(tables):
            self._uc.mem_write(_TABLES + 0x1000 * i, struct.pack("<512Q", *table))
        flat = (0, 0x00AF9B000000FFFF, 0x00CF93000000FFFF, 0x00AFBB000000FFFF, 0x00CFB3000000FFFF)
        self._uc.mem_write(_GDT, struct.pack("<5Q", *flat))
        self._uc.mem_write(_BOOT, b"\x48\xcf")  # iretq
        self._uc.mem_write(_STACK_TOP - 40, struct.pack("<5Q", LOOP_GVA, 0x19, 2, _STACK_TOP, 0x21))
        self._uc.mem_write(LOOP_GVA, loop.code)
        if loop.page is not None:
            self._uc.mem_write(_PAGE, loop.page)

    def _set_up_cpu(self) -> None:
        write = self._uc.reg_write
        write(x86.UC_X86_REG_CR4, 0x620)
        write(x86.UC_X86_REG_MSR, (_EFER, 0xD01))
        write(x86.UC_X86_REG_CR3, _TABLES)
        write(x86.UC_X86_REG_CR0, 0x8001_0033)
        write(x86.UC_X86_REG_GDTR, (0, _GDT, 5 * 8 - 1, 0))
        write(x86.UC_X86_REG_CS, 0x08)
        write(x86.UC_X86_REG_SS, 0x10)
        write(x86.UC_X86_REG_RSP, _STACK_TOP - 40)

    def _add_hook(self, instruction: str) -> None:
        everywhere = {"begin": 1, "end": 0}
        if instruction == "vmcall":
            self._uc.hook_add(unicorn.UC_HOOK_INSN_INVALID, self._on_vmcall, **everywhere)
        elif instruction == "out":
            self._uc.hook_add(unicorn.UC_HOOK_INSN, self._on_out, aux1=x86.UC_X86_INS_OUT, **everywhere)
        elif instruction == "cli":
            self._find_state()
            self._uc.hook_add(unicorn.UC_HOOK_INTR, self._on_trap, **everywhere)
        else:
            raise ValueError(f"the yardstick has no {instruction}")

    def _find_state(self) -> None:
        """Where a saved context has old_exception: behind RAX, which a marker shows."""
        saved = self._uc.reg_read(x86.UC_X86_REG_RAX)
        self._uc.reg_write(x86.UC_X86_REG_RAX, _MARKER)
        self._context = self._uc.context_save()
        self._uc.reg_write(x86.UC_X86_REG_RAX, saved)
        state = bytes(self._context).find(_MARKER.to_bytes(8, "little"))
        address = ctypes.cast(self._context.context, ctypes.c_void_p).value
        if state < 0 or address is None:
            raise RuntimeError("the binding's context does not show the registers")
        offset = start_engine().state_offsets[OLD_EXCEPTION]
        self._old_exception = ctypes.c_int32.from_address(address + state + offset)

    # --- the hooks: what a hypervisor on the binding does for one operation

    def _on_vmcall(self, uc: Uc, user: object) -> bool:
        """A hypercall: number, argument and RIP are read, result and RIP written."""
        self.n_exits += 1
        number = uc.reg_read(x86.UC_X86_REG_RAX)
        uc.reg_read(x86.UC_X86_REG_RDI)
        rip = uc.reg_read(x86.UC_X86_REG_RIP)
        uc.reg_write(x86.UC_X86_REG_RAX, 0 if number == 2 else -38)
        uc.reg_write(x86.UC_X86_REG_RIP, rip + 3)
        return True

    def _on_trap(self, uc: Uc, vector: int, user: object) -> None:
        """#GP: repaired by a context; the byte at RIP tells that it was CLI, and CLI is emulated."""
        self.n_exits += 1
        uc.context_update(self._context)
        self._old_exception.value = -1
        uc.context_restore(self._context)
        rip = uc.reg_read(x86.UC_X86_REG_RIP)
        if vector != 13 or uc.mem_read(rip, 1)[0] != 0xFA:
            uc.emu_stop()
            return
        self.virtual_if = False
        uc.reg_write(x86.UC_X86_REG_RIP, rip + 1)

    def _on_out(self, uc: Uc, ioport: int, size: int, value: int, user: object) -> None:
        """OUT: nothing but the call itself."""
        self.n_exits += 1
