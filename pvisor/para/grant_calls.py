# SPDX-License-Identifier: GPL-2.0-or-later
"""The hypercalls about grants (grants.py has the rules)."""

from __future__ import annotations

from dataclasses import dataclass

from pvisor.abi import errnos
from pvisor.abi.areas import grants as rows
from pvisor.abi.layout import offsetof, pack, sizeof, unpack
from pvisor.cpu.vcpu import Exit, Vcpu
from pvisor.domain.domain import Domain
from pvisor.machine.memory import PAGE_BYTES, GuestMemory
from pvisor.para.grants import READ_ONLY, SELF, Grant, GrantTable
from pvisor.para.hypercalls import Served
from pvisor.para.refusal import GuestError, copy_in, copy_out, invalid

COPY_MAX = rows.COPY_MAX.number
OP_BYTES = sizeof("pv_grant_copy_op")
STATUS = offsetof("pv_grant_copy_op", "status")
U32_MAX = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class _Side:
    """A frame that is copied from or to: of the caller, or by a `grant`. It is held meanwhile."""

    memory: GuestMemory
    gpa: int
    grant: Grant | None = None


class Grants:
    """The calls of one domain."""

    def __init__(self, table: GrantTable) -> None:
        self._table = table

    @property
    def served(self) -> Served:
        """The calls."""
        return Served(answers={
            rows.GRANT_CREATE: self.create, rows.GRANT_REVOKE: self.revoke, rows.GRANT_MAP: self.map,
            rows.GRANT_UNMAP: self.unmap, rows.GRANT_COPY: self.copy, rows.GRANT_STATUS: self.status,
        })  # fmt: skip

    def create(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """GRANT_CREATE(domid, gpa, flags): the gref."""
        domid, gpa, flags = exit.args[0], exit.args[1], exit.args[2]
        return self._table.create(domid, gpa, read_only=_is_read_only(flags)).gref

    def revoke(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """GRANT_REVOKE(gref)."""
        self._table.revoke(exit.args[0])
        return 0

    def map(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """GRANT_MAP(domid, gref, flags): the GPA of its slot."""
        domid, gref, flags = exit.args[0], exit.args[1], exit.args[2]
        return self._table.map(domid, gref, writable=not _is_read_only(flags))

    def unmap(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """GRANT_UNMAP(gpa)."""
        self._table.unmap(exit.args[0])
        return 0

    def status(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """GRANT_STATUS(gref, info)."""
        grant = self._table.find(exit.args[0])
        copy_out(domain, vcpu, exit.args[1], pack(
            "pv_grant_info", gpa=grant.gpa, domid=0 if grant.grantee is None else grant.grantee.domid,
            flags=READ_ONLY if grant.read_only else 0, n_readers=grant.n_readers, n_writers=grant.n_writers,
        ))  # fmt: skip
        return 0

    def copy(self, domain: Domain, vcpu: Vcpu, exit: Exit) -> int:
        """GRANT_COPY(ops, n_ops): how many were tried."""
        gva, n_ops = exit.args[0], min(exit.args[1], COPY_MAX)
        if n_ops == 0:
            return 0
        ops = bytearray(copy_in(domain, vcpu, gva, n_ops * OP_BYTES))
        self._meet_for(ops)
        copy_out(domain, vcpu, gva, bytes(ops))  # may it be written? Before anything is copied
        for at in range(0, len(ops), OP_BYTES):
            status = self._copy_one(unpack("pv_grant_copy_op", ops[at : at + OP_BYTES]))
            ops[at + STATUS : at + OP_BYTES] = status.to_bytes(4, "little")
        copy_out(domain, vcpu, gva, bytes(ops))
        return n_ops

    def _meet_for(self, ops: bytearray) -> None:
        """Raises MustMeetError, before anything is copied, if another CPU may be using one of the frames."""
        for at in range(0, 0 if self._table.meeting.is_open else len(ops), OP_BYTES):
            op = unpack("pv_grant_copy_op", ops[at : at + OP_BYTES])
            for domid in (op["source_domid"], op["dest_domid"]):
                if domid != SELF:
                    self._table.meeting.need_for(self._table.domid, domid)

    def _copy_one(self, op: dict[str, int]) -> int:
        """One operation's status."""
        n_bytes, from_, to = op["n_bytes"], op["source_offset"], op["dest_offset"]
        if from_ + n_bytes > PAGE_BYTES or to + n_bytes > PAGE_BYTES:
            return errnos.EINVAL.number
        try:
            source = self._side(op["source_domid"], op["source"], writable=False)
            try:
                dest = self._side(op["dest_domid"], op["dest"], writable=True)
                dest.memory.write(dest.gpa + to, source.memory.read(source.gpa + from_, n_bytes))
                self._drop(dest, writable=True)
            finally:
                self._drop(source, writable=False)
        except GuestError as error:
            return -error.result
        return 0

    def _side(self, domid: int, name: int, *, writable: bool) -> _Side:
        table = self._table
        if domid == SELF:
            gfn = table.own_frame(name)
            table.hold_frame(gfn, writable=writable)
            return _Side(table.memory, name)
        if name > U32_MAX:
            raise invalid()
        grant = table.granted(domid, name, writable=writable)
        grant.acquire(writable=writable)
        return _Side(grant.memory, grant.gpa, grant)

    def _drop(self, side: _Side, *, writable: bool) -> None:
        if side.grant is None:
            self._table.drop_frame(side.gpa // PAGE_BYTES, writable=writable)
        else:
            side.grant.let_go(writable=writable)


def _is_read_only(flags: int) -> bool:
    if flags & ~READ_ONLY:
        raise invalid()
    return flags == READ_ONLY
