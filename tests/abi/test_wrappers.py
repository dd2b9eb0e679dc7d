# SPDX-License-Identifier: GPL-2.0-or-later
"""The C wrappers put their arguments where the convention says, on the real CPU of the host.

The test program makes a hypercall page of its own: each stub notes the registers, poisons what a hypercall
may clobber, and returns a given result. No hypervisor takes part.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pvisor.abi.calls import CALLS
from pvisor.abi.model import Hypercall

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.needs_gcc,
    pytest.mark.skipif(
        not shutil.which("gcc") or platform.machine() != "x86_64" or sys.platform != "linux",
        reason="needs gcc on x86-64 Linux",
    ),
]

PROGRAM = r"""
#define _GNU_SOURCE
#include <pv/hypercall.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

const unsigned char *pv_hypercall_page;
uint64_t seen[6]; /* RDI RSI RDX R10 R8, number */
int64_t answer;

__asm__("    .pushsection .text\n"
        "record:\n"
        "    mov %rdi, seen+0(%rip)\n"
        "    mov %rsi, seen+8(%rip)\n"
        "    mov %rdx, seen+16(%rip)\n"
        "    mov %r10, seen+24(%rip)\n"
        "    mov %r8, seen+32(%rip)\n"
        "    mov %rax, seen+40(%rip)\n"
        "    movabs $0xdeadc0dedeadc0de, %rcx\n"
        "    mov %rcx, %r11\n"
        "    mov answer(%rip), %rax\n"
        "    ret\n"
        "    .popsection\n");
extern const unsigned char record[];

static void make_page(void)
{
    size_t size = PV_HYPERCALL_PAGES * PV_PAGE_BYTES;
    unsigned char *page = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t target = (uint64_t)record;
    for (uint32_t nr = 0; nr < PV_HYPERCALL_PAGES * PV_CALLS_PER_PAGE; nr++) {
        unsigned char *stub = page + nr * PV_STUB_BYTES;
        memcpy(stub, "\xb8", 1); /* mov eax, nr */
        memcpy(stub + 1, &nr, 4);
        memcpy(stub + 5, "\x49\xbb", 2); /* mov r11, record */
        memcpy(stub + 7, &target, 8);
        memcpy(stub + 15, "\x41\xff\xe3", 3); /* jmp r11 */
    }
    mprotect(page, size, PROT_READ | PROT_EXEC);
    pv_hypercall_page = page;
}

static int wrong;
static void expect(const char *what, int64_t result, uint64_t nr, int count, ...)
{
    __builtin_va_list values;
    __builtin_va_start(values, count);
    if (seen[5] != nr || result != answer) {
        printf("%s: number %lu, result %ld\n", what, seen[5], result);
        wrong = 1;
    }
    for (int i = 0; i < count; i++) {
        uint64_t value = __builtin_va_arg(values, uint64_t);
        if (seen[i] != value) {
            printf("%s: argument %d is 0x%lx, not 0x%lx\n", what, i, seen[i], value);
            wrong = 1;
        }
    }
    __builtin_va_end(values);
    memset(seen, 0x55, sizeof seen);
}

/* Many values live across calls: a clobber that the wrappers forgot would spoil the sum. */
static uint64_t live(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
    uint64_t g = a * 3 + b, h = b * 5 + c, i = c * 7 + d, j = d * 11 + e, k = e * 13 + f, l = f * 17 + a;
    for (int n = 0; n < 3; n++) {
        pv_noop();
        pv_hypercall5(0x7f, g, h, i, j, k);
        a += g ^ l; b += h; c += i; d += j; e += k; f += l;
    }
    return a ^ b ^ c ^ d ^ e ^ f ^ g ^ h ^ i ^ j ^ k ^ l;
}

int main(void)
{
    static const int64_t answers[] = {0, 1, -PV_ENOSYS, INT64_MAX, INT64_MIN};
    static char buffer[8];
    make_page();
    for (unsigned n = 0; n < sizeof answers / sizeof *answers; n++) {
        uint64_t a = 0x1111111111111111 + n, b = 2 * a, c = 3 * a, d = 4 * a, e = 5 * a;
        answer = answers[n];
        expect("0", pv_hypercall0(0x7f), 0x7f, 0);
        expect("1", pv_hypercall1(0x7e, a), 0x7e, 1, a);
        expect("2", pv_hypercall2(0x7d, a, b), 0x7d, 2, a, b);
        expect("3", pv_hypercall3(0x7c, a, b, c), 0x7c, 3, a, b, c);
        expect("4", pv_hypercall4(0x7b, a, b, c, d), 0x7b, 4, a, b, c, d);
        expect("5", pv_hypercall5(0x00, a, b, c, d, e), 0x00, 5, a, b, c, d, e);
@CALLS@
    }
    volatile uint64_t one = 1;
    answer = 0;
    printf("%lu\n", live(one, one + 1, one + 2, one + 3, one + 4, one + 5));
    return wrong;
}
"""

def _arguments(call: Hypercall) -> tuple[str, str]:
    """What a call is given in C, and what must then be in the registers: another number in each."""
    given, seen = [], []
    for i, arg in enumerate(call.args):
        if arg.access is not None:
            value = f"({arg.c_type.replace('const ', '')})(buffer + {i})"
            wanted = f"(uint64_t)(buffer + {i})"
        else:
            value = f"0x{(1 << 8 * arg.type.size_bytes - 1) + i:x}"
            wanted = f"(uint64_t){value}"
        given.append(value)
        seen.append(wanted)
    return ", ".join(given), "".join(f", {wanted}" for wanted in seen)


def _live(values: list[int]) -> int:
    """The same sum as `live` in the program."""
    mask = 2**64 - 1
    primes = (3, 5, 7, 11, 13, 17)
    mixed = [(values[n] * primes[n] + values[(n + 1) % 6]) & mask for n in range(6)]
    for _ in range(3):
        added = [mixed[0] ^ mixed[5], *mixed[1:]]
        values = [(value + more) & mask for value, more in zip(values, added, strict=True)]
    total = 0
    for value in values + mixed:
        total ^= value
    return total


@pytest.mark.parametrize("level", ["-O0", "-O1", "-O2", "-O3", "-Os"])
@pytest.mark.parametrize("language", ["c", "c++"])
def test_registers(level: str, language: str, tmp_path: Path) -> None:
    lines = []
    for call in CALLS:
        given, seen = _arguments(call)
        expected = f"{call.macro}, {len(call.args)}{seen}"
        lines.append(f'        expect("{call.name}", {call.wrapper}({given}), {expected});')
    source = tmp_path / "wrappers.c"
    text = PROGRAM.replace("@CALLS@", "\n".join(lines))
    if language == "c++":
        text = text.replace("#define _GNU_SOURCE\n", "")
        text = text.replace("unsigned char *page = mmap", "unsigned char *page = (unsigned char *)mmap")
        text = text.replace("uint64_t seen[6]", 'extern "C" { uint64_t seen[6]').replace(
            "answer;\n", "answer; }\n", 1
        )
        text = text.replace("extern const unsigned char record[]", 'extern "C" const unsigned char record[]')
    source.write_text(text, encoding="utf-8")
    program = tmp_path / "wrappers"
    command = ["gcc", "-x", language, level, "-mno-red-zone", "-Wall", "-Wextra", "-Werror"]
    command += ["-I", str(ROOT / "guest_sdk/include"), str(source), "-o", str(program)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    done = subprocess.run([str(program)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert int(done.stdout) == _live([1, 2, 3, 4, 5, 6])
