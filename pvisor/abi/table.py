# SPDX-License-Identifier: GPL-2.0-or-later
"""All rows in one value, for whoever prints or checks the whole ABI."""

from __future__ import annotations

from pvisor.abi import calls, constants, errnos, features, structs
from pvisor.abi.model import Abi

ABI = Abi(
    version=constants.ABI_VERSION.number,
    constants=constants.CONSTANTS,
    errnos=errnos.ERRNOS,
    features=features.FEATURES,
    structs=structs.STRUCTS,
    areas=calls.AREAS,
    calls=calls.CALLS,
)
