# SPDX-License-Identifier: GPL-2.0-or-later
"""The SDK and the demos are found in a checkout and in an ordinary installation."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvisor import paths
from pvisor.errors import PvisorError


def test_a_checkout_has_them_beside_the_package(repo_root: Path) -> None:
    assert paths.checkout_root() == repo_root
    assert paths.sdk_dir() == repo_root / "guest_sdk"
    assert paths.demos_dir() == repo_root / "demos"
    assert paths.abi_document() == repo_root / "hypercalls.md"


def test_an_installation_has_them_inside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "site-packages" / "pvisor"
    for name in ("guest_sdk", "demos"):
        (package / "share" / name).mkdir(parents=True)
    monkeypatch.setattr(paths, "_PACKAGE", package)
    assert paths.checkout_root() is None
    assert paths.sdk_dir() == package / "share" / "guest_sdk"
    assert paths.demos_dir() == package / "share" / "demos"


def test_a_damaged_installation_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(paths, "_PACKAGE", tmp_path / "pvisor")
    with pytest.raises(PvisorError, match=r"lacks guest_sdk.*install pvisor again"):
        paths.sdk_dir()
