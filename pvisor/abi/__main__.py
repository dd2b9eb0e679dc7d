# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m pvisor.abi`: rewrites the files that are printed from the table, or checks that they are fresh.

For developers, in a checkout. Exit status: 0 all is well; 1 a file is stale or a released fact would change.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pvisor.abi import lock
from pvisor.abi.emit.cdef import abi_cdef
from pvisor.abi.emit.header import abi_header
from pvisor.abi.emit.reference import replace_reference
from pvisor.abi.emit.wrappers import wrappers_header
from pvisor.abi.model import Abi
from pvisor.abi.table import ABI

LOCK = Path("pvisor/abi/abi.lock")
REFERENCE = Path("hypercalls.md")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the result is its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m pvisor.abi", description="Print the ABI table into the files made from it."
    )
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[2], help="the checkout")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--check", action="store_true", help="change nothing; name each stale file and exit 1"
    )
    choice.add_argument(
        "--update-lock", action="store_true", help="add new facts to abi.lock; old ones must stand"
    )
    options = parser.parse_args(argv)
    if not (options.root / REFERENCE).is_file():
        print(f"{options.root} is not a checkout of pvisor: it has no {REFERENCE}", file=sys.stderr)
        return 1
    if options.update_lock:
        return update_lock(options.root, ABI)
    return check(options.root, ABI) if options.check else write(options.root, ABI)


def generated(root: Path, abi: Abi) -> dict[Path, str]:
    """Every printed file, by its path in the checkout, with the text it should have."""
    return {
        Path("guest_sdk/include/pv/abi.h"): abi_header(abi),
        Path("guest_sdk/include/pv/hypercall.h"): wrappers_header(abi),
        Path("pvisor/abi/abi.cdef"): abi_cdef(abi),
        REFERENCE: replace_reference((root / REFERENCE).read_text(encoding="utf-8"), abi),
    }


def write(root: Path, abi: Abi) -> int:
    """Rewrite the printed files that are stale; say which."""
    for path, text in generated(root, abi).items():
        if _text_of(root / path) != text:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
            print(f"wrote {path}")
    return 0


def check(root: Path, abi: Abi) -> int:
    """Name each stale file and each broken promise; 1 when there is one."""
    complaints = [
        f"{path} is stale: run `make gen`"
        for path, text in generated(root, abi).items()
        if _text_of(root / path) != text
    ]
    current = lock.facts(abi)
    released = lock.parse(_text_of(root / LOCK) or "")
    complaints += [f"{LOCK}: {line}" for line in lock.broken_promises(released, current)]
    complaints += [
        f"{LOCK}: {what} is new: run `python -m pvisor.abi --update-lock`"
        for what in sorted(current.keys() - released.keys())
    ]
    for line in complaints:
        print(line, file=sys.stderr)
    return 1 if complaints else 0


def update_lock(root: Path, abi: Abi) -> int:
    """Add what is new to abi.lock, unless something that was released would change."""
    current = lock.facts(abi)
    released = lock.parse(_text_of(root / LOCK) or "")
    broken = lock.broken_promises(released, current)
    if broken:
        for line in broken:
            print(f"{LOCK}: {line}", file=sys.stderr)
        return 1
    (root / LOCK).write_text(lock.format_facts({**released, **current}), encoding="utf-8")
    print(f"{LOCK}: {len(current.keys() - released.keys())} added, {len(current)} in all")
    return 0


def _text_of(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


if __name__ == "__main__":
    sys.exit(main())
