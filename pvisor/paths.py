# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the files are that pvisor needs but Python does not import: the guest SDK, the demos, the ABI text.

An ordinary installation carries them in `pvisor/share`. A checkout, or an editable installation of one,
has them at the root of the repository, beside the package.
"""

from __future__ import annotations

from pathlib import Path

from pvisor.errors import PvisorError

_PACKAGE = Path(__file__).resolve().parent


def checkout_root() -> Path | None:
    """The repository that this package is run from, or None when it is an ordinary installation."""
    root = _PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() and (root / "guest_sdk").is_dir() else None


def sdk_dir() -> Path:
    """The folder of the guest SDK: `include/`, `src/` and the linker scripts."""
    return _shared("guest_sdk")


def demos_dir() -> Path:
    """The folder of the demos, one sub-folder each."""
    return _shared("demos")


def abi_document() -> Path:
    """hypercalls.md: the hypercall interface, as a document."""
    return _shared("hypercalls.md")


def _shared(name: str) -> Path:
    shipped = _PACKAGE / "share" / name
    if shipped.exists():
        return shipped
    root = checkout_root()
    if root is not None and (root / name).exists():
        return root / name
    raise PvisorError(f"this installation of pvisor lacks {name} (no {shipped}): install pvisor again")
