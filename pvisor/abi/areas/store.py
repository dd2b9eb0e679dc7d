# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls about the store."""

from __future__ import annotations

from pvisor.abi.errnos import E2BIG, EAGAIN, EEXIST, EFAULT, EINVAL, ENOENT, ENOSPC, EPERM
from pvisor.abi.features import STORE
from pvisor.abi.model import Constant, CType, Errno, Field, Hypercall, Struct, gva_in, u32

LIMITS = "Limits of the store"
RIGHTS = "Rights in the store"

PATH_MAX = Constant("PV_STORE_PATH_MAX", 512, "longest path, counted as an absolute one", LIMITS)
DEPTH_MAX = Constant("PV_STORE_DEPTH_MAX", 16, "most names in an absolute path", LIMITS)
NAME_MAX = Constant("PV_STORE_NAME_MAX", 64, "longest name", LIMITS)
VALUE_MAX = Constant("PV_STORE_VALUE_MAX", 1024, "longest value", LIMITS)
NODES_MAX = Constant("PV_STORE_NODES_MAX", 256, "most nodes in a domain's home, which counts as one", LIMITS)
RIGHTS_MAX = Constant("PV_STORE_RIGHTS_MAX", 16, "most domains that a node has rights for", LIMITS)
TOKEN_MAX = Constant("PV_STORE_TOKEN_MAX", 64, "longest token of a watch", LIMITS)
WATCHES_MAX = Constant("PV_STORE_WATCHES_MAX", 32, "most watches of a domain", LIMITS)
EVENT_MAX = Constant("PV_STORE_EVENT_MAX", 578, "longest watch event: path, NUL, token, NUL", LIMITS)
TRANSACTIONS_MAX = Constant(
    "PV_STORE_TRANSACTIONS_MAX", 4, "most transactions that a domain has open", LIMITS
)
STEPS_MAX = Constant("PV_STORE_STEPS_MAX", 128, "most calls in a transaction", LIMITS)

NONE = Constant("PV_STORE_NONE", 0, "neither read nor change", RIGHTS)
READ = Constant("PV_STORE_READ", 1, "read, list, and be told of changes", RIGHTS)
WRITE = Constant("PV_STORE_WRITE", 2, "write, make and remove", RIGHTS)
INHERIT = Constant("PV_STORE_INHERIT", 4, "by itself: as the node above has it", RIGHTS)

CONSTANTS: tuple[Constant, ...] = (
    PATH_MAX, DEPTH_MAX, NAME_MAX, VALUE_MAX, NODES_MAX, RIGHTS_MAX,
    TOKEN_MAX, WATCHES_MAX, EVENT_MAX, TRANSACTIONS_MAX, STEPS_MAX,
    NONE, READ, WRITE, INHERIT,
)  # fmt: skip

REQUEST = Struct(
    "pv_store_request",
    "What a call about the store is about. It is copied once; the call never writes to it.",
    (
        Field("path", CType.GVA, "the path: its bytes, without a NUL"),
        Field("value", CType.GVA, "the value's bytes, or the room for an answer"),
        Field("path_bytes", CType.U32, "length of the path; with 0 `path` is not looked at"),
        Field("value_bytes", CType.U32, "length of the value or room; with 0 `value` is not looked at"),
        Field("transaction", CType.U32, "the transaction that the call belongs to, or 0"),
        Field("reserved", CType.U32, "0"),
    ),
    grows=False,
)

STRUCTS: tuple[Struct, ...] = (REQUEST,)

_REQUEST = gva_in("request", "what and where", struct="pv_store_request")
_BAD_PATH = "the path is not one, or is too long or too deep"
_BAD_TRANSACTION = "the caller has no such transaction"
_RESERVED = "`reserved` is not 0"
_STEPS = "the transaction has `PV_STORE_STEPS_MAX` calls already"
_UNREADABLE = "`request`, or the path that it names, is not readable"
_ROOM = f"{_UNREADABLE}, or the answer's bytes are not writable at `value`; nothing has been written"
_WHERE = f"{_BAD_PATH}; {_BAD_TRANSACTION}; {_RESERVED}"
_NO_NODE = "there is no such node"


def _errors_of_look(too_long: str) -> dict[Errno, str]:
    """Errors of a call that answers what is at a path."""
    return {
        EFAULT: _ROOM,
        EINVAL: _WHERE,
        EPERM: "the caller has no right to read it",
        ENOENT: _NO_NODE,
        E2BIG: too_long,
        ENOSPC: _STEPS,
    }


_WATCH_ERRORS = {
    EFAULT: f"{_UNREADABLE}, or the token is not",
    EINVAL: f"{_BAD_PATH}; the token is longer than `PV_STORE_TOKEN_MAX` or has a NUL; `transaction` is "
    f"not 0; {_RESERVED}",
}


def _request(value: str, size: str) -> str:
    """In an example: a request about `path` with a value, or with room for one."""
    return (
        "struct pv_store_request request = {\n"
        "    .path = (uint64_t)path, .path_bytes = sizeof path - 1,\n"
        f"    .value = (uint64_t){value}, .value_bytes = {size},\n"
        "};\n"
    )


_BARE_REQUEST = "struct pv_store_request request = {.path = (uint64_t)path, .path_bytes = sizeof path - 1};\n"

STORE_READ = Hypercall(
    nr=0x80,
    name="STORE_READ",
    summary="Read a value.",
    args=(_REQUEST,),
    result="how long the value is; that many bytes have been written to `value`",
    errors=_errors_of_look(
        "the value is longer than `value_bytes`; `PV_STORE_VALUE_MAX` bytes are always enough"
    ),
    notes=("A node that was made on the way to another one has an empty value.",),
    feature=STORE,
    replaces="tables that a firmware leaves in memory, and configuration registers of devices",
    example=(
        "char value[PV_STORE_VALUE_MAX];\n"
        'static const char path[] = "device/block/0/state";\n'
        f"{_request('value', 'sizeof value')}"
        "int64_t n_bytes = pv_store_read(&request);\n"
        "if (n_bytes > 0)\n"
        "    use((uint64_t)n_bytes);"
    ),
)

STORE_WRITE = Hypercall(
    nr=0x81,
    name="STORE_WRITE",
    summary="Write a value; make the node, and those above it, where they are not there.",
    args=(_REQUEST,),
    result="0",
    errors={
        EFAULT: f"{_UNREADABLE}, or the value is not; nothing has changed",
        EINVAL: f"{_BAD_PATH}; the value is longer than `PV_STORE_VALUE_MAX`; {_BAD_TRANSACTION}; "
        f"{_RESERVED}",
        EPERM: "the caller has no right to write it",
        ENOSPC: f"the home that it would lie in has `PV_STORE_NODES_MAX` nodes; or {_STEPS}",
    },
    notes=(
        "A value is bytes; that it be text is a convention.",
        "It counts as a change, and fires watches, even when the value is the same.",
    ),
    feature=STORE,
    replaces="`OUT` to a device's registers that say where its rings are",
    example=(
        'static const char path[] = "device/block/0/state", value[] = "ready";\n'
        f"{_request('value', 'sizeof value - 1')}"
        "if (pv_store_write(&request) < 0)\n"
        "    give_up();"
    ),
)

STORE_LIST = Hypercall(
    nr=0x82,
    name="STORE_LIST",
    summary="Which nodes are below this one?",
    args=(_REQUEST,),
    result="how many bytes were written to `value`: each name followed by a NUL, in the order of their bytes",
    errors=_errors_of_look("the answer is longer than `value_bytes`; nothing has been written"),
    notes=("Only the names directly below are given, whether the caller may read those nodes or not.",),
    feature=STORE,
    replaces="a walk over the devices of a bus, by configuration registers",
    example=(
        "char names[4096];\n"
        'static const char path[] = "device";\n'
        f"{_request('names', 'sizeof names')}"
        "int64_t n_bytes = pv_store_list(&request);\n"
        "if (n_bytes > 0)\n"
        "    use((uint64_t)n_bytes);"
    ),
)

STORE_REMOVE = Hypercall(
    nr=0x83,
    name="STORE_REMOVE",
    summary="Remove a node and all that is below it.",
    args=(_REQUEST,),
    result="0",
    errors={
        EFAULT: _UNREADABLE,
        EINVAL: _WHERE,
        EPERM: "the caller has no right to write it, or it is a domain's home",
        ENOENT: _NO_NODE,
        ENOSPC: _STEPS,
    },
    notes=(
        "`value` and `value_bytes` are not looked at.",
        "A home goes with its domain.",
    ),
    feature=STORE,
    replaces="nothing: what firmware leaves in memory stays there",
    example=(f'static const char path[] = "device/block/0";\n{_BARE_REQUEST}pv_store_remove(&request);'),
)

STORE_WATCH = Hypercall(
    nr=0x84,
    name="STORE_WATCH",
    summary="Be told of each change of a node, or below it.",
    args=(_REQUEST,),
    result="0",
    errors={
        **_WATCH_ERRORS,
        EEXIST: "the caller has this watch, with the same path and token, already",
        ENOSPC: "the caller has `PV_STORE_WATCHES_MAX` watches",
    },
    notes=(
        "`value` is the watch's token: a text of the caller's choice, which comes back with each event.",
        "The node need not be there. The watch fires once at the start, so looking is left to one place.",
        "It fires when a node is written, made, removed or gets other rights: the node itself, or one below "
        "it. It also fires when it is removed, or gets other rights, with a node above it. What the caller "
        "may not read does not fire.",
        "A watch that has fired raises `PV_VIRQ_STORE` and waits for STORE_NEXT. Until then it does not fire "
        "again: further changes are added to the event that waits, whose path becomes the nearest node above "
        "all that has changed.",
    ),
    feature=STORE,
    replaces="the interrupt by which a bus says that a device has come or gone",
    example=(
        'static const char path[] = "device", token[] = "devices";\n'
        f"{_request('token', 'sizeof token - 1')}"
        "if (pv_store_watch(&request) < 0)\n"
        "    give_up();"
    ),
)

STORE_UNWATCH = Hypercall(
    nr=0x85,
    name="STORE_UNWATCH",
    summary="No longer be told.",
    args=(_REQUEST,),
    result="0",
    errors={
        **_WATCH_ERRORS,
        ENOENT: "the caller has no watch with this path and token",
    },
    notes=("An event of this watch that waits is dropped.",),
    feature=STORE,
    replaces="masking that interrupt",
    example=(
        'static const char path[] = "device", token[] = "devices";\n'
        f"{_request('token', 'sizeof token - 1')}"
        "pv_store_unwatch(&request);"
    ),
)

STORE_NEXT = Hypercall(
    nr=0x86,
    name="STORE_NEXT",
    summary="Take the next watch event.",
    args=(_REQUEST,),
    result="how many bytes were written to `value`: the absolute path of what changed, NUL, the token, NUL",
    errors={
        EFAULT: "`request` is not readable, or the answer's bytes are not writable at `value`; the event "
        "waits on",
        EINVAL: f"`transaction` is not 0; {_RESERVED}",
        ENOENT: "no event waits",
        E2BIG: "the event is longer than `value_bytes`, and waits on; `PV_STORE_EVENT_MAX` bytes are always "
        "enough",
    },
    notes=(
        "`path` and `path_bytes` are not looked at.",
        "Events come in the order in which the watches fired.",
        "Take events until there is none: `PV_VIRQ_STORE` is raised when a watch fires, not while one waits.",
    ),
    feature=STORE,
    replaces="`IN` from the registers of a bus that say what has come or gone",
    example=(
        "char event[PV_STORE_EVENT_MAX];\n"
        "struct pv_store_request request = {.value = (uint64_t)event, .value_bytes = sizeof event};\n"
        "while (pv_store_next(&request) > 0)\n"
        "    use((uint64_t)event[0]);"
    ),
)

STORE_BEGIN = Hypercall(
    nr=0x87,
    name="STORE_BEGIN",
    summary="Begin a transaction: several calls that happen together, or not at all.",
    args=(),
    result="the transaction, 1 or greater",
    errors={ENOSPC: "the caller has `PV_STORE_TRANSACTIONS_MAX` transactions open"},
    notes=(
        "Calls with its number see the store as it is now and what the transaction has changed; nobody else "
        "sees these changes before STORE_END.",
        "READ, WRITE, LIST, REMOVE and PERMIT may belong to a transaction.",
    ),
    feature=STORE,
    replaces="nothing: registers of a device are written one by one, with an order for each device",
    example=(
        "int64_t transaction = pv_store_begin();\n"
        "if (transaction < 0)\n"
        "    give_up();\n"
        "pv_store_end((uint32_t)transaction, 1);"
    ),
)

STORE_END = Hypercall(
    nr=0x88,
    name="STORE_END",
    summary="End a transaction.",
    args=(
        u32("transaction", "which"),
        u32("commit", "1: let it happen; 0: forget it"),
    ),
    result="0",
    errors={
        EINVAL: "`commit` is neither 0 nor 1, or an argument has bits above bit 31; the transaction goes on",
        ENOENT: "the caller has no such transaction",
        EAGAIN: "somebody else has changed something that makes a difference to it: nothing has happened, "
        "the transaction is over, begin again",
    },
    notes=(
        "It happens when each of its calls, made in its order on the store of this moment, would have the "
        "result that it had: a value that was read is still the same, a node that was listed still has the "
        "same names below it. Otherwise it is EAGAIN.",
        "Watches fire when it has happened, in the order of its calls.",
        "It takes time in proportion to the calls of the transaction, at most `PV_STORE_STEPS_MAX`.",
    ),
    feature=STORE,
    replaces="nothing",
    example=(
        "int64_t transaction, result;\n"
        "do {\n"
        "    transaction = pv_store_begin();\n"
        "    if (transaction < 0)\n"
        "        give_up();\n"
        "    result = pv_store_end((uint32_t)transaction, 1);\n"
        "} while (result == -PV_EAGAIN);"
    ),
)

STORE_PERMIT = Hypercall(
    nr=0x89,
    name="STORE_PERMIT",
    summary="Say what another domain may do with a node and what is below it.",
    args=(
        _REQUEST,
        u32("domid", "the other domain"),
        u32("rights", "`PV_STORE_READ`, `PV_STORE_WRITE`, both, `PV_STORE_NONE`, or `PV_STORE_INHERIT`"),
    ),
    result="0",
    errors={
        EFAULT: _UNREADABLE,
        EINVAL: f"{_BAD_PATH}; `domid` is no other domain's number; `rights` is none of those; "
        f"{_BAD_TRANSACTION}; {_RESERVED}; or an argument has bits above bit 31",
        EPERM: "the node is not in the caller's home",
        ENOENT: _NO_NODE,
        ENOSPC: f"the node has rights for `PV_STORE_RIGHTS_MAX` domains; or {_STEPS}",
    },
    notes=(
        "The rights hold for all below the node, but for what a node below says itself.",
        "A domain may do anything in its own home, and the hypervisor anywhere. Outside the homes each "
        "domain may read; a home is closed to others until its domain says otherwise.",
        "`value` and `value_bytes` are not looked at.",
        "It counts as a change of the node, and fires watches: of the other domain too, if it may read now.",
    ),
    feature=STORE,
    replaces="nothing: a PC's devices belong to its one kernel",
    example=(
        'static const char path[] = "device/block/0";\n'
        f"{_BARE_REQUEST}"
        "pv_store_permit(&request, 2, PV_STORE_READ | PV_STORE_WRITE);"
    ),
)

CALLS: tuple[Hypercall, ...] = (
    STORE_READ, STORE_WRITE, STORE_LIST, STORE_REMOVE, STORE_WATCH,
    STORE_UNWATCH, STORE_NEXT, STORE_BEGIN, STORE_END, STORE_PERMIT,
)  # fmt: skip
