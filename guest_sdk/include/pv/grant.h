/* SPDX-License-Identifier: MIT */
/*
 * Grants, which para and hybrid guests have: a page of this domain that another domain, or the host, may use. What is
 * granted is named by a number, the gref, which the other side must be told (pv/store.h). The calls behind it are
 * pv_grant_create, pv_grant_revoke, pv_grant_map, pv_grant_unmap, pv_grant_copy and pv_grant_status (pv/hypercall.h);
 * the functions here take pages and addresses.
 *
 * To read or write another domain's page now and then, copy: pv_grant_copy needs no mapping. To look at it again and
 * again, as at a ring, attach it. A hybrid guest can grant and copy, but attach nothing (-PV_ENOSYS): its page tables
 * are a PC's, in which there is no place for other domains' pages.
 *
 * What is in a shared page can change at any moment. Copy what you check before you check it.
 *
 * No function here waits. None may be called from an interrupt handler unless interrupts are disabled around all others
 * and those of pv/memory.h.
 */
#ifndef PV_GRANT_H
#define PV_GRANT_H

#include <stdint.h>

#include <pv/hypercall.h>
#include <pv/memory.h>

/*
 * Let domain DOMID use PAGE, a whole page of this kernel's own memory, to read only if FLAGS has PV_GRANT_READ_ONLY.
 * Take it back by pv_grant_revoke(gref). Returns the gref; -PV_EINVAL: PAGE is not at the start of a page, or FLAGS is
 * unknown; -PV_ENOENT: there is no such domain; -PV_EBUSY: PAGE is a page table, and FLAGS has no PV_GRANT_READ_ONLY;
 * -PV_ENOSPC: PV_GRANTS_MAX are granted.
 */
int64_t pv_grant_page(uint32_t domid, const void *page, uint32_t flags);

/*
 * Map the page that domain DOMID has granted by GREF to ADDRESS in SPACE, to be read and written, or only read if FLAGS
 * is PV_GRANT_READ_ONLY and not 0. It stays when DOMID ends, with what is in it, until it is detached. Returns 0;
 * -PV_ENOENT: there is no such domain or grant; -PV_EPERM: it is for another domain, or to be read only; -PV_ENOSPC:
 * PV_GRANT_SLOTS are attached; -PV_EINVAL, -PV_EEXIST, -PV_ENOMEM: as pv_page_map. After an error nothing is mapped.
 */
int pv_grant_attach(struct pv_space *space, uint64_t address, uint32_t domid, uint32_t gref, uint32_t flags);

/*
 * Let go of the page at ADDRESS in SPACE, which pv_grant_attach has mapped.
 * Returns 0; -PV_EINVAL: what is there was not granted, or ADDRESS is none of the space's own; -PV_ENOENT: nothing is
 * mapped there.
 */
int pv_grant_detach(struct pv_space *space, uint64_t address);

#endif /* PV_GRANT_H */
