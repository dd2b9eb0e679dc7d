/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copies of patched code. A guest may read its own code, and nobody sees that: the copy has HLT where sensitive.c put
 * one. A kernel that moves itself runs such a copy, and so does a process whose parent's memory was copied by fork.
 *
 * So the bytes around each patch are kept. An HLT that traps elsewhere, amid the same bytes, is taken for the
 * instruction, and is a patch of its own from then on. An HLT at the very place of a patch that was undone, and amid the
 * bytes of no other, is the guest's: it has stored it there.
 */
#include "shadow.h"

#include <stdlib.h>

enum {
    TRAPPING = 0xf4,   /* HLT */
    N_BEFORE = 32,
    N_BEHIND = 32,     /* the rest of the instruction, and what follows */
    N_BYTES = N_BEFORE + 1 + N_BEHIND,
    N_TELLING = 16,    /* so many must say something: no zeros, no HLT */
    N_PATTERNS = 4096  /* a guest with more patches has the oldest forgotten */
};

/* What stands before, at and behind the first byte of an instruction. */
struct pattern {
    uint64_t physical;
    uint8_t bytes[N_BYTES], is_known[N_BYTES];
};

struct patterns {
    struct pattern known[N_PATTERNS];
    uint32_t n, next;
};

/* The guest's own bytes around a linear address, as far as its pages are mapped. */
static void look_around(struct engine *e, uint64_t linear, struct pattern *p)
{
    uint64_t physical = 0, rights;
    bool is_mapped = false;
    for (uint32_t i = 0; i < N_BYTES; i++) {
        uint64_t at = linear + i - N_BEFORE;
        if (!i || !(at % PAGE_BYTES))
            is_mapped = walk(e, at, &physical, &rights) && physical < e->ram_bytes;
        uint64_t there = physical / PAGE_BYTES * PAGE_BYTES + at % PAGE_BYTES;
        p->is_known[i] = is_mapped;
        if (!is_mapped)
            continue;
        const uint8_t *originals = e->shadow->originals[there / PAGE_BYTES];
        uint8_t original = originals && e->ram[there] == TRAPPING ? originals[there % PAGE_BYTES] : 0;
        p->bytes[i] = original ? original : e->ram[there];
        if (i == N_BEFORE)
            p->physical = there;
    }
}

/* The frame's patch at this place is new. */
void remember_around(struct engine *e, uint64_t linear)
{
    struct shadow *s = e->shadow;
    struct pattern found = {0};
    if (!s->patterns && !(s->patterns = calloc(1, sizeof *s->patterns)))
        return;
    struct patterns *p = s->patterns;
    look_around(e, linear, &found);
    uint32_t i = 0;
    while (i < p->n && p->known[i].physical != found.physical)
        i++;
    if (i == N_PATTERNS) {
        i = p->next;
        p->next = (p->next + 1) % N_PATTERNS;
    } else if (i == p->n) {
        p->n++;
    }
    p->known[i] = found;
}

/*
 * All that is known of both must be the same: code that differs in nothing but an HLT is not rare where macros made it.
 * Any byte of a copy may be HLT, because its own instruction may have been replaced before it was copied.
 */
static bool is_copy(const struct pattern *copy, const struct pattern *known)
{
    uint32_t n_telling = 0;
    for (uint32_t i = 0; i < N_BYTES; i++) {
        if (!copy->is_known[i] || !known->is_known[i] || copy->bytes[i] == TRAPPING)
            continue;
        if (copy->bytes[i] != known->bytes[i])
            return false;
        n_telling += copy->bytes[i] != 0;
    }
    return n_telling >= N_TELLING;
}

/*
 * An HLT has trapped where there is no patch: the first byte of the instruction whose copy it is, or 0 where it is the
 * guest's own.
 */
uint8_t original_of_copy(struct engine *e, uint64_t linear)
{
    struct patterns *p = e->shadow ? e->shadow->patterns : NULL;
    struct pattern copy = {0};
    if (!p)
        return 0;
    look_around(e, linear, &copy);
    if (!copy.is_known[N_BEFORE])
        return 0;
    for (uint32_t i = 0; i < p->n; i++) {
        const struct pattern *known = &p->known[i];
        uint8_t original = known->bytes[N_BEFORE];
        if (known->physical != copy.physical && is_copy(&copy, known) && replace_byte(e, copy.physical, original))
            return original;
    }
    return 0;
}
