/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which instruction raised #GP? By its opcode alone (SDM 2D appendix A); operands are the decoder's work. */
#include "shim.h"

static uint32_t classify_0f(const uint8_t *op, const uint8_t *end)
{
    if (op == end || (op + 1 == end && op[0] <= 0x03))
        return PV_EXIT_GENERAL_PROTECTION;
    uint8_t reg = op[0] <= 0x03 ? (op[1] >> 3) & 7 : 0; /* others may be the last bytes that are mapped */
    switch (op[0]) {
    case 0x00:
        return reg <= 1 ? PV_EXIT_DESCRIPTOR_STORE : reg <= 3 ? PV_EXIT_DESCRIPTOR_TABLE
             : reg <= 5 ? PV_EXIT_SEGMENT_QUERY : PV_EXIT_GENERAL_PROTECTION;
    case 0x01:
        if (op[1] == 0xd1) return PV_EXIT_XSETBV;
        if (op[1] == 0xf8) return PV_EXIT_SWAPGS;
        if (op[1] == 0xf9) return PV_EXIT_USER_RDTSC;
        if (reg == 4) return PV_EXIT_SMSW;
        if (op[1] >= 0xc0 && reg != 6) return PV_EXIT_GENERAL_PROTECTION;
        if (reg <= 1) return PV_EXIT_DESCRIPTOR_STORE;
        if (reg == 2 || reg == 3) return PV_EXIT_DESCRIPTOR_TABLE;
        return reg == 6 ? PV_EXIT_LMSW : reg == 7 ? PV_EXIT_INVLPG : PV_EXIT_GENERAL_PROTECTION;
    case 0x02: case 0x03: return PV_EXIT_SEGMENT_QUERY;
    case 0x07: return PV_EXIT_SYSRET;
    case 0x35: return PV_EXIT_SYSEXIT;
    case 0x31: return PV_EXIT_USER_RDTSC;
    case 0x06: return PV_EXIT_CLTS;
    case 0x08: case 0x09: return PV_EXIT_CACHE;
    case 0x20: case 0x22: return PV_EXIT_MOV_CR;
    case 0x21: case 0x23: return PV_EXIT_MOV_DR;
    case 0x30: return PV_EXIT_WRMSR;
    case 0x32: return PV_EXIT_RDMSR;
    case 0xa1: case 0xa9: case 0xb2: case 0xb4: case 0xb5: return PV_EXIT_SEGMENT_LOAD;
    default: return PV_EXIT_GENERAL_PROTECTION;
    }
}

bool is_prefix(uint8_t byte, bool mode64)
{
    switch (byte) {
    case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65: case 0x66: case 0x67:
    case 0xf0: case 0xf2: case 0xf3:
        return true;
    default:
        return mode64 && (byte & 0xf0) == 0x40; /* REX */
    }
}

static uint32_t classify_opcode(const uint8_t *op, const uint8_t *end, bool mode64)
{
    switch (op[0]) {
    case 0xfa: return PV_EXIT_CLI;
    case 0xfb: return PV_EXIT_STI;
    case 0xf4: return PV_EXIT_HLT;
    case 0x9c: return PV_EXIT_PUSHF;
    case 0x9d: return PV_EXIT_POPF;
    case 0xcf: return PV_EXIT_IRET;
    case 0x6c: case 0x6d: case 0x6e: case 0x6f:
    case 0xe4: case 0xe5: case 0xe6: case 0xe7: case 0xec: case 0xed: case 0xee: case 0xef:
        return PV_EXIT_USER_IO;
    case 0x0f: return classify_0f(op + 1, end);
    case 0x8e: return PV_EXIT_SEGMENT_LOAD;
    case 0x07: case 0x17: case 0x1f: case 0xc4: case 0xc5:
        return mode64 ? PV_EXIT_GENERAL_PROTECTION : PV_EXIT_SEGMENT_LOAD;
    case 0x9a: case 0xea:
        return mode64 ? PV_EXIT_GENERAL_PROTECTION : PV_EXIT_FAR_TRANSFER;
    case 0xca: case 0xcb: return PV_EXIT_FAR_TRANSFER;
    case 0xff:
        if (op + 1 < end && (((op[1] >> 3) & 7) == 3 || ((op[1] >> 3) & 7) == 5))
            return PV_EXIT_FAR_TRANSFER;
        return PV_EXIT_GENERAL_PROTECTION;
    default: return PV_EXIT_GENERAL_PROTECTION;
    }
}

/*
 * An exit reason; GENERAL_PROTECTION where no system instruction begins at op. With LOCK each of them is #UD
 * (SDM 2A, LOCK), which the engine does not check.
 */
uint32_t classify(const uint8_t *op, uint32_t n, bool mode64)
{
    const uint8_t *end = op + n;
    bool is_locked = false;
    for (; op < end && is_prefix(*op, mode64); op++)
        is_locked |= *op == 0xf0;
    uint32_t reason = op < end ? classify_opcode(op, end, mode64) : PV_EXIT_GENERAL_PROTECTION;
    return is_locked && reason != PV_EXIT_GENERAL_PROTECTION ? PV_EXIT_INVALID_OPCODE : reason;
}
