# SPDX-License-Identifier: GPL-2.0-or-later
"""What came of a case. Verdicts grow worse from the first to the last."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import pytest


class Verdict(IntEnum):
    """Success; not tried, because something is not offered; the case itself is wrong; a promise is broken;
    the guest came to no end of its own."""

    SUCCESS = 0
    SKIP = 1
    ERROR = 2
    FAILURE = 3
    CRASH = 4


@dataclass(frozen=True, slots=True)
class Report:
    """A verdict, and why."""

    verdict: Verdict
    why: str = ""

    def tell_pytest(self) -> None:
        """Pass, skip or fail the test that runs."""
        if self.verdict is Verdict.SKIP:
            pytest.skip(self.why)
        if self.verdict is not Verdict.SUCCESS:
            pytest.fail(f"{self.verdict.name}: {self.why}", pytrace=False)


class CaseError(Exception):
    """The case asks for what there cannot be: its verdict is ERROR."""
