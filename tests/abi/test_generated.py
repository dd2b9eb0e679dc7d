# SPDX-License-Identifier: GPL-2.0-or-later
"""The printed files are fresh, and `--check` notices when they are not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pvisor.abi.__main__ import LOCK, generated, main
from pvisor.abi.emit.reference import BEGIN, END, replace_reference
from pvisor.abi.table import ABI

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(generated(ROOT, ABI))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the printed files, to be spoilt."""
    for path in (*FILES, LOCK):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    return tmp_path


def test_the_checked_in_files_are_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("path", FILES, ids=str)
def test_check_names_the_stale_file_and_writing_mends_it(
    checkout: Path, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = (checkout / path).read_text(encoding="utf-8").replace("PV_HC_NOOP", "PV_HC_NAP")
    (checkout / path).write_text(stale, encoding="utf-8")
    assert main(["--check", "--root", str(checkout)]) == 1
    assert capsys.readouterr().err == f"{path} is stale: run `make gen`\n"
    assert (checkout / path).read_text(encoding="utf-8") == stale
    assert main(["--root", str(checkout)]) == 0
    assert capsys.readouterr().out == f"wrote {path}\n"
    assert (checkout / path).read_bytes() == (ROOT / path).read_bytes()


def test_a_missing_file_is_stale(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (checkout / "pvisor/abi/abi.cdef").unlink()
    assert main(["--check", "--root", str(checkout)]) == 1
    assert "pvisor/abi/abi.cdef is stale" in capsys.readouterr().err


def test_outside_a_checkout_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(tmp_path)]) == 1
    assert "not a checkout" in capsys.readouterr().err


@pytest.mark.parametrize("document", ["", BEGIN, END, END + BEGIN, BEGIN + BEGIN + END], ids=repr)
def test_a_document_with_wrong_markers_is_refused(document: str) -> None:
    with pytest.raises(ValueError, match="reference"):
        replace_reference(document, ABI)


def test_prose_around_the_markers_is_kept() -> None:
    text = replace_reference(f"before\n{BEGIN}\nold\n{END}\nafter\n", ABI)
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "\nold\n" not in text
    assert replace_reference(text, ABI) == text


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix != ".md"], ids=str)
def test_printed_files_say_so_and_keep_to_the_line_width(path: Path) -> None:
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    licence = "MIT" if path.parts[0] == "guest_sdk" else "GPL-2.0-or-later"
    assert lines[0] == f"/* SPDX-License-Identifier: {licence} */"
    assert "not this file" in " ".join(lines[:6])
    assert max(len(line) for line in lines) <= 110
    assert not any(line != line.rstrip() for line in lines)
