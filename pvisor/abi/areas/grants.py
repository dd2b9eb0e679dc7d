# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls about grants."""

from __future__ import annotations

from pvisor.abi.errnos import EBUSY, EFAULT, EINVAL, ENOENT, ENOSPC, ENOSYS, EPERM
from pvisor.abi.features import GRANT_MAP as GRANT_MAP_FEATURE
from pvisor.abi.features import GRANTS
from pvisor.abi.model import Constant, CType, Field, Hypercall, Struct, gva_inout, gva_out, u32, u64

GROUP = "Grants"

WINDOW = Constant("PV_GRANT_WINDOW", 1 << 36, "GPA of the first slot for other domains' frames", GROUP,
                  is_hex=True)  # fmt: skip
SLOTS = Constant("PV_GRANT_SLOTS", 1024, "slots of the window, a frame each", GROUP)
MAX_GRANTS = Constant("PV_GRANTS_MAX", 4096, "most grants that a domain has given at a time", GROUP)
READ_ONLY = Constant("PV_GRANT_READ_ONLY", 1, "flag: to be read, not written", GROUP)
COPY_MAX = Constant("PV_GRANT_COPY_MAX", 64, "most operations that one GRANT_COPY does", GROUP)

CONSTANTS: tuple[Constant, ...] = (WINDOW, SLOTS, MAX_GRANTS, READ_ONLY, COPY_MAX)

COPY_OP = Struct(
    "pv_grant_copy_op",
    "One operation of GRANT_COPY: bytes of one frame to another.",
    (
        Field("source", CType.U64, "the frame: its GPA where the domain is PV_DOMID_SELF, else a gref"),
        Field("dest", CType.U64, "the frame that is written, likewise"),
        Field("source_domid", CType.U32, "PV_DOMID_SELF, or who has granted `source`"),
        Field("source_offset", CType.U32, "first byte in the frame"),
        Field("dest_domid", CType.U32, "PV_DOMID_SELF, or who has granted `dest`"),
        Field("dest_offset", CType.U32, "first byte in the frame"),
        Field("n_bytes", CType.U32, "how many; neither frame is left"),
        Field("status", CType.U32, "written: 0, or the number of an error, positive"),
    ),
    grows=False,
)
INFO = Struct(
    "pv_grant_info",
    "A grant, as GRANT_STATUS shows it.",
    (
        Field("gpa", CType.GPA, "the frame"),
        Field("domid", CType.U32, "for whom"),
        Field("flags", CType.U32, "0 or PV_GRANT_READ_ONLY"),
        Field("n_readers", CType.U32, "mappings that only read"),
        Field("n_writers", CType.U32, "mappings that write as well"),
    ),
    grows=False,
)

STRUCTS: tuple[Struct, ...] = (COPY_OP, INFO)

_NOT_OFFERED = "the feature GRANTS is not offered"
_NO_WINDOW = "the feature GRANT_MAP is not offered"
_WIDE = "an argument has bits above bit 31"
_NO_GRANT = "there is no such domain, or it has no such grant (any more)"

GRANT_CREATE = Hypercall(
    nr=0x70,
    name="GRANT_CREATE",
    summary="Let another domain use a frame of one's own.",
    args=(
        u32("domid", "who may use it: another domain, `PV_DOMID_SELF` or `PV_DOMID_HOST`"),
        u64("gpa", "the frame: RAM of this domain"),
        u32("flags", "0, or `PV_GRANT_READ_ONLY`"),
    ),
    result="the grant's number (gref), greater than 0, to be told to the other domain",
    errors={
        EINVAL: f"`gpa` is not the first byte of a frame of the domain's RAM, `flags` is unknown, or {_WIDE}",
        ENOENT: "there is no domain `domid`, or the frame was given back",
        EBUSY: "the frame is a page table, and the grant would let it be written",
        ENOSPC: "the domain has `PV_GRANTS_MAX` grants",
        ENOSYS: _NOT_OFFERED,
    },
    notes=(
        "A frame that is granted cannot be given back; if it may be written, it cannot become a page table.",
        "A gref is no index: read nothing from it. Numbers of revoked grants come again late or never.",
        "A frame may be granted several times. What is in it is not changed, so clear a frame that held "
        "secrets.",
        "A frame that another domain has granted cannot be granted on.",
        "There is no transfer: a frame never changes its owner. Copy (GRANT_COPY), or share it for as long "
        "as it takes.",
    ),
    feature=GRANTS,
    replaces="nothing: PCs share no memory, and talk through devices",
    example=(
        "static _Alignas(PV_PAGE_BYTES) unsigned char page[PV_PAGE_BYTES];\n"
        "int64_t gref = pv_grant_create(PV_DOMID_SELF, (uintptr_t)page, PV_GRANT_READ_ONLY);\n"
        "if (gref < 0 || pv_grant_revoke((uint32_t)gref) != 0)\n    return 1;"
    ),
)

GRANT_REVOKE = Hypercall(
    nr=0x71,
    name="GRANT_REVOKE",
    summary="Take a grant back.",
    args=(u32("gref", "the grant"),),
    result="0",
    errors={
        ENOENT: "there is no such grant (any more)",
        EBUSY: "the other domain has it mapped; nothing has changed",
        EINVAL: _WIDE,
        ENOSYS: _NOT_OFFERED,
    },
    notes=(
        "Nobody is made to let go: agree with the other domain first, or wait until GRANT_STATUS shows no "
        "mapping. What has died has let go.",
    ),
    feature=GRANTS,
    replaces="nothing, as GRANT_CREATE",
    example="if (pv_grant_revoke(77) != -PV_ENOENT)\n    return 1;",
)

GRANT_MAP = Hypercall(
    nr=0x72,
    name="GRANT_MAP",
    summary="Put a frame that another domain has granted into the grant window.",
    args=(
        u32("domid", "who has granted it"),
        u32("gref", "the grant's number there"),
        u32("flags", "0 to read and write, or `PV_GRANT_READ_ONLY`"),
    ),
    result="the GPA of a slot of the window: a frame from now on, for entries of page tables",
    errors={
        ENOENT: _NO_GRANT,
        EPERM: "the grant is for another domain, or it is read-only and `flags` is not",
        ENOSPC: "all `PV_GRANT_SLOTS` slots are used, or the host has no room for the mapping: of all "
        "domains together it has 16384",
        EINVAL: f"`flags` is unknown, or {_WIDE}",
        ENOSYS: _NO_WINDOW,
    },
    notes=(
        "An entry of a page table that names the slot makes the frame visible (ENTRY_SET, TABLE_UPDATE). It "
        "must be a no-execute one, and may be writable if the mapping is.",
        "Pointers given to hypercalls may lead into such a page.",
        "Granted frames are no tables, are not granted on, and hold no shared page.",
        "If the granter dies, the frame stays until it is unmapped, with what is in it.",
        "The same grant may be mapped several times, at a slot each.",
    ),
    feature=GRANT_MAP_FEATURE,
    replaces="nothing, as GRANT_CREATE",
    example=(
        "int64_t frame = pv_grant_map(PV_DOMID_SELF, 77, 0);\nif (frame >= 0)\n"
        "    pv_grant_unmap((uint64_t)frame);"
    ),
)

GRANT_UNMAP = Hypercall(
    nr=0x73,
    name="GRANT_UNMAP",
    summary="Take a frame out of the grant window.",
    args=(u64("gpa", "the slot, as GRANT_MAP gave it"),),
    result="0",
    errors={
        EINVAL: "`gpa` is not the first byte of a slot of the window",
        ENOENT: "nothing is in the slot",
        EBUSY: "an entry of a page table names the slot; nothing has changed",
        ENOSYS: _NO_WINDOW,
    },
    notes=(
        "Clear the entries first. No TLB flush is needed in between: this call does what is necessary on all "
        "virtual CPUs.",
    ),
    feature=GRANT_MAP_FEATURE,
    replaces="nothing, as GRANT_CREATE",
    example="if (pv_grant_unmap(PV_GRANT_WINDOW) != -PV_ENOENT)\n    return 1;",
)

GRANT_COPY = Hypercall(
    nr=0x74,
    name="GRANT_COPY",
    summary="Copy between frames that are one's own or granted, without a mapping.",
    args=(
        gva_inout("ops", "the operations; the `status` of each is written", struct="pv_grant_copy_op"),
        u32("n_ops", "how many"),
    ),
    result="how many operations were tried: the lesser of `n_ops` and `PV_GRANT_COPY_MAX`",
    errors={
        EFAULT: "the operations that would be tried are not all readable and writable; nothing is copied",
        EINVAL: _WIDE,
        ENOSYS: _NOT_OFFERED,
    },
    notes=(
        "`status` is 0, or PV_EINVAL: an offset or length that leaves a frame, or a frame of its own that is "
        "not RAM; PV_ENOENT, PV_EPERM: as for GRANT_MAP; PV_EBUSY: a frame of its own that may not be "
        "written, as for GRANT_CREATE. What fails has copied nothing, and the next one is tried.",
        "Operations are done in their order. They are read once, before the first, and written back as they "
        "were read, each with its status, after the last.",
        "Source and destination may overlap.",
        "`PV_DOMID_SELF` always means a frame by its GPA; a grant to oneself is named by one's own number.",
    ),
    feature=GRANTS,
    replaces="nothing, as GRANT_CREATE",
    example=(
        "static _Alignas(PV_PAGE_BYTES) unsigned char from[PV_PAGE_BYTES], to[PV_PAGE_BYTES];\n"
        "static struct pv_grant_copy_op op;\n"
        "op.source = (uintptr_t)from;\nop.source_domid = PV_DOMID_SELF;\n"
        "op.dest = (uintptr_t)to;\nop.dest_domid = PV_DOMID_SELF;\nop.n_bytes = PV_PAGE_BYTES;\n"
        "if (pv_grant_copy(&op, 1) != 1 || op.status != 0)\n    return 1;"
    ),
)

GRANT_STATUS = Hypercall(
    nr=0x75,
    name="GRANT_STATUS",
    summary="Look at a grant of one's own.",
    args=(
        u32("gref", "the grant"),
        gva_out("info", "where the answer goes", struct="pv_grant_info"),
    ),
    result="0",
    errors={
        ENOENT: "there is no such grant (any more)",
        EFAULT: "`info` does not point to 24 writable bytes",
        EINVAL: _WIDE,
        ENOSYS: _NOT_OFFERED,
    },
    feature=GRANTS,
    replaces="nothing, as GRANT_CREATE",
    example=(
        "struct pv_grant_info info;\n"
        "if (pv_grant_status(77, &info) == 0 && info.n_writers + info.n_readers == 0)\n"
        "    pv_grant_revoke(77);"
    ),
)

CALLS: tuple[Hypercall, ...] = (
    GRANT_CREATE, GRANT_REVOKE, GRANT_MAP, GRANT_UNMAP, GRANT_COPY, GRANT_STATUS,
)  # fmt: skip
