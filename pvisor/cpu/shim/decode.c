/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The C side of the decoder door: capstone's library from its wheel, loaded when a length is first wanted.
 *
 * The engine runs more than capstone decodes: LOCK before what cannot be locked, reserved NOPs (0F 0D, 0F 18 to
 * 1F), VEX where there is no AVX. What follows such an instruction must be found all the same, so its length is
 * then told from its form (SDM 2A 2.1).
 */
#include "api.h"
#include "shim.h"

#include <dlfcn.h>
#include <pthread.h>

/* From capstone's stable C API (capstone.h); cs_insn stays opaque, so no version of its header matters. */
enum { CS_ARCH_X86 = 3, CS_MODE_16 = 1 << 1, CS_MODE_32 = 1 << 2, CS_MODE_64 = 1 << 3 };

static struct {
    int (*open)(int arch, int mode, size_t *handle);
    void *(*malloc)(size_t handle);
    bool (*disasm_iter)(size_t handle, const uint8_t **code, size_t *size, uint64_t *address, void *insn);
    size_t handle[3]; /* of 16, 32 and 64 bits */
    void *insn[3];
} capstone;

/* A handle of capstone serves one caller at a time; domains may run on several threads. */
static pthread_mutex_t one_caller = PTHREAD_MUTEX_INITIALIZER;

int pv_load_capstone(const char *path, char *error, size_t error_size)
{
    void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!lib) {
        snprintf(error, error_size, "%s", dlerror());
        return -1;
    }
    *(void **)&capstone.open = dlsym(lib, "cs_open");
    *(void **)&capstone.malloc = dlsym(lib, "cs_malloc");
    *(void **)&capstone.disasm_iter = dlsym(lib, "cs_disasm_iter");
    if (!capstone.open || !capstone.malloc || !capstone.disasm_iter) {
        snprintf(error, error_size, "%s lacks cs_open, cs_malloc or cs_disasm_iter", path);
        return -1;
    }
    for (int i = 0; i < 3; i++) {
        if (capstone.open(CS_ARCH_X86, CS_MODE_16 << i, &capstone.handle[i])) {
            snprintf(error, error_size, "%s cannot decode x86", path);
            return -1;
        }
        capstone.insn[i] = capstone.malloc(capstone.handle[i]);
    }
    return 0;
}

static uint32_t decoded_length(const uint8_t *code, size_t n_bytes, uint32_t width)
{
    uint64_t address = 0;
    const uint8_t *begin = code;
    if (!capstone.disasm_iter)
        return 0;
    pthread_mutex_lock(&one_caller);
    bool found = capstone.disasm_iter(capstone.handle[width], &code, &n_bytes, &address, capstone.insn[width]);
    pthread_mutex_unlock(&one_caller);
    return found ? (uint32_t)(code - begin) : 0;
}

/* ModRM, SIB and displacement (SDM 2A 2.1.3, 2.1.5); `op` has at least two bytes. */
static uint32_t modrm_length(const uint8_t *op, bool addresses_of_16_bits)
{
    uint32_t mod = op[0] >> 6, rm = op[0] & 7;
    if (mod == 3)
        return 1;
    if (addresses_of_16_bits)
        return 1 + (mod == 0 ? (rm == 6 ? 2 : 0) : mod);
    uint32_t sib = rm == 4, base = sib ? op[1] & 7 : rm;
    return 1 + sib + (mod == 0 ? (base == 5 ? 4 : 0) : mod == 1 ? 1 : 4);
}

static uint32_t immediate_of_0f(uint8_t op)
{
    return (op >= 0x70 && op <= 0x73) || op == 0xa4 || op == 0xac || op == 0xba || op == 0xc2
        || (op >= 0xc4 && op <= 0xc6);
}

/* MOVMSKPS and the shifts by an immediate: what ModRM says of memory is #UD (SDM), but no matter to the engine. */
static bool has_registers_only(uint8_t op)
{
    return op == 0x50 || (op >= 0x71 && op <= 0x73);
}

/* `op`: from the opcode on, past legacy and REX prefixes. 0: none of the forms that the engine runs. */
static uint32_t length_by_form(const uint8_t *op, bool addresses_of_16_bits, bool operands_of_16_bits)
{
    uint32_t n = 1, map = 0, immediate = 0;
    switch (op[0]) {
    case 0x0f: map = op[1] == 0x38 ? 2 : op[1] == 0x3a ? 3 : 1; n = map == 1 ? 1 : 2; break;
    case 0xc5: map = 1; n = 2; break;                            /* VEX of two bytes */
    case 0xc4: map = op[1] & 0x1f; n = 3; break;                 /* and of three */
    case 0x8f: break;
    case 0xc6: immediate = 1; break;
    case 0xc7: immediate = operands_of_16_bits ? 2 : 4; break;
    default: return 0;
    }
    if (map) {
        immediate = map == 3 || (map == 1 && immediate_of_0f(op[n]));
        if (map == 1 && has_registers_only(op[n]))
            return n + 2 + immediate;
        n++;
    }
    return n + modrm_length(op + n, addresses_of_16_bits) + immediate;
}

/* For what capstone refuses: without LOCK it may know it; else the form tells. */
static uint32_t length_anyhow(const uint8_t *code, size_t n_bytes, uint32_t width)
{
    uint8_t copy[32] = {0};
    uint32_t n_prefixes = 0, n_copied = 0, n_code = n_bytes < 15 ? (uint32_t)n_bytes : 15;
    bool has_66 = false, has_67 = false;
    while (n_prefixes < n_code && is_prefix(code[n_prefixes], width == 2)) {
        uint8_t byte = code[n_prefixes++];
        has_66 |= byte == 0x66;
        has_67 |= byte == 0x67;
        if (byte != 0xf0)
            copy[n_copied++] = byte;
    }
    uint32_t n_locks = n_prefixes - n_copied;
    memcpy(copy + n_copied, code + n_prefixes, n_code - n_prefixes);
    uint32_t length = n_locks ? decoded_length(copy, n_code - n_locks, width) : 0;
    if (!length) {
        length = length_by_form(copy + n_copied, width == 2 ? false : (width == 1) == has_67, (width == 0) != has_66);
        length += length ? n_copied : 0;
    }
    length += length ? n_locks : 0;
    return length <= n_bytes ? length : 0;
}

/* Length of the first instruction in bytes, or 0 where there is none. Width 0, 1, 2: code of 16, 32, 64 bits. */
uint32_t instruction_length(const uint8_t *code, size_t n_bytes, uint32_t width)
{
    uint32_t length = decoded_length(code, n_bytes, width);
    return length ? length : length_anyhow(code, n_bytes, width);
}

/* How many whole instructions `code` holds, or -1 where it cannot be decoded. */
int count_instructions(const uint8_t *code, size_t n_bytes, uint32_t width)
{
    int n = 0;
    for (size_t at = 0; at < n_bytes; n++) {
        uint32_t length = instruction_length(code + at, n_bytes - at, width);
        if (!length)
            return -1;
        at += length;
    }
    return n;
}
