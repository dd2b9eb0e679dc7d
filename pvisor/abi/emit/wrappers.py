# SPDX-License-Identifier: GPL-2.0-or-later
"""Prints pv/hypercall.h: one inline C function for each hypercall."""

from __future__ import annotations

from pvisor.abi.calls import ARG_REGISTERS, CLOBBERED_REGISTERS
from pvisor.abi.emit.ctext import comment, file_head
from pvisor.abi.model import Abi, Arg, Hypercall

_OPENING = """\
#ifndef PV_HYPERCALL_H
#define PV_HYPERCALL_H

#include <pv/abi.h>

#if !defined(__x86_64__)
#error "pv/hypercall.h is for x86-64"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The first hypercall page: the guest defines this variable and sets it from pv_start_info.hypercall_page
 * before the first call (the SDK's start code does).
 *
 * Compile with -mno-red-zone. `call` pushes a return address, and a compiler that uses the red zone keeps its
 * variables just where that lands.
 */
extern const unsigned char *pv_hypercall_page;

/*
 * Any call, by number and with as many arguments as it takes. A call orders memory: the compiler moves no
 * access across it, and the hypervisor sees all that was written before.
 */
"""

_CLOSING = """\
#ifdef __cplusplus
}
#endif

#endif /* PV_HYPERCALL_H */
"""

# The constraint letter of a register that has one; the others need a variable bound to them.
_CONSTRAINTS = (("RDI", "D"), ("RSI", "S"), ("RDX", "d"))
_ARG_NAMES = ("a", "b", "c", "d", "e")


def wrappers_header(abi: Abi) -> str:
    """The text of pv/hypercall.h."""
    text = file_head("The hypercalls as C functions; hypercalls.md explains each.") + "\n" + _OPENING
    text += "".join(_generic(count) for count in range(len(ARG_REGISTERS) + 1))
    text += "".join(_wrapper(call) for call in abi.calls)
    return text + _CLOSING


def _generic(count: int) -> str:
    constraints = dict(_CONSTRAINTS)
    names = _ARG_NAMES[:count]
    parameters = ", ".join(("uint32_t nr", *(f"uint64_t {name}" for name in names)))
    operands = ['"r"(stub)']
    bindings = ""
    for name, register in zip(names, ARG_REGISTERS, strict=False):
        if register in constraints:
            operands.append(f'"{constraints[register]}"({name})')
        else:
            bound = register.lower()
            bindings += f'    register uint64_t {bound} __asm__("{bound}") = {name};\n'
            operands.append(f'"r"({bound})')
    clobbers = ", ".join(f'"{register.lower()}"' for register in CLOBBERED_REGISTERS)
    return (
        f"static inline int64_t pv_hypercall{count}({parameters})\n"
        "{\n"
        "    const unsigned char *stub = pv_hypercall_page + (uint64_t)nr * PV_STUB_BYTES;\n"
        "    int64_t result;\n"
        f"{bindings}"
        '    __asm__ volatile("call *%1"\n'
        '                     : "=a"(result)\n'
        f"                     : {', '.join(operands)}\n"
        f'                     : {clobbers}, "memory", "cc");\n'
        "    return result;\n"
        "}\n\n"
    )


def _wrapper(call: Hypercall) -> str:
    values = ", ".join((call.macro, *(_as_register(arg) for arg in call.args)))
    errors = " or ".join(f"-{errno.macro}" for errno in call.errors)
    result = call.result.replace("`", "")
    text = f"{call.summary} Result: {result}{f'; {errors}' if errors else ''}."
    return (
        comment(text)
        + f"static inline {call.prototype}\n"
        + "{\n"
        + f"    return pv_hypercall{len(call.args)}({values});\n"
        + "}\n\n"
    )


def _as_register(arg: Arg) -> str:
    return f"(uint64_t)(uintptr_t){arg.name}" if arg.access else arg.name
