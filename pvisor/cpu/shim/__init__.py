# SPDX-License-Identifier: GPL-2.0-or-later
"""The compiled C shim: `ffi` and `lib`. In a checkout, a stale build is refused."""

from __future__ import annotations

from pvisor.errors import PvisorError
from pvisor.paths import checkout_root

try:
    from pvisor.cpu._shim import ffi, lib
except ImportError as error:
    raise PvisorError(f"the C shim is not built ({error}); run `make` or `pip install .`") from error

__all__ = ["ffi", "lib"]


def _refuse_stale_build() -> None:
    if checkout_root() is None:
        return
    from pvisor.cpu.shim.build import source_hash

    if ffi.string(lib.pv_shim_source_hash()).decode() != source_hash():
        raise PvisorError("the C shim was built from other sources than these; run `make`")


_refuse_stale_build()
