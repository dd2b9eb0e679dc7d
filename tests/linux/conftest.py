# SPDX-License-Identifier: GPL-2.0-or-later
"""What the boots of Debian share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linux.packages import make_initramfs


@pytest.fixture(scope="session")
def initrd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lab's initramfs."""
    return make_initramfs(tmp_path_factory.mktemp("linux"))
