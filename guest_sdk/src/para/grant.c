/* SPDX-License-Identifier: MIT */
/* Pages of other domains: into the grant window by one hypercall, and from there into page tables like any frame. */
#include <pv/error.h>
#include <pv/grant.h>

int64_t pv_grant_page(uint32_t domid, const void *page, uint32_t flags)
{
    return pv_grant_create(domid, (uintptr_t)page, flags); /* the kernel's addresses are GPAs */
}

int pv_grant_attach(struct pv_space *space, uint64_t address, uint32_t domid, uint32_t gref, uint32_t flags)
{
    int64_t frame = pv_grant_map(domid, gref, flags);
    if (frame < 0)
        return (int)frame;
    int error = pv_page_map(space, address, (uint64_t)frame, flags & PV_GRANT_READ_ONLY ? 0 : PV_MAP_WRITE);
    if (error != 0)
        pv_grant_unmap((uint64_t)frame);
    return error;
}

int pv_grant_detach(struct pv_space *space, uint64_t address)
{
    uint64_t frame;
    int error = pv_page_lookup(space, address, &frame, NULL);
    if (error != 0)
        return error;
    if (frame < PV_GRANT_WINDOW || frame - PV_GRANT_WINDOW >= PV_GRANT_SLOTS * (uint64_t)PV_PAGE_BYTES)
        return -PV_EINVAL;
    error = pv_page_unmap(space, address, 0);
    return error != 0 ? error : (int)pv_grant_unmap(frame);
}
