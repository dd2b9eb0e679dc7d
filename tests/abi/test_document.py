# SPDX-License-Identifier: GPL-2.0-or-later
"""hypercalls.md: its links lead somewhere, its samples compile, its numbers are the table's."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pvisor.abi import layout
from pvisor.abi.calls import ARG_REGISTERS, CALLS, CLOBBERED_REGISTERS, by_name
from pvisor.abi.emit.reference import BEGIN
from pvisor.abi.model import Hypercall
from pvisor.abi.table import ABI

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "hypercalls.md").read_text(encoding="utf-8")
PROSE = TEXT.split(BEGIN, maxsplit=1)[0]
CONSTANTS = {row.name: row for row in ABI.constants}


def _without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def _anchors(text: str) -> list[str]:
    """The anchors of all headings, by GitHub's rule: a repeated one gets -1, -2 and so on."""
    seen: dict[str, int] = {}
    anchors = []
    for heading in re.findall(r"^#+ (.+)$", _without_code(text), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        anchors.append(f"{slug}-{seen[slug]}" if slug in seen else slug)
        seen[slug] = seen.get(slug, 0) + 1
    return anchors


def _samples(language: str, text: str = PROSE) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_links_resolve() -> None:
    anchors = _anchors(TEXT)
    links = re.findall(r"\]\(([^)]+)\)", _without_code(TEXT))
    assert len(links) > 20
    for link in links:
        if link.startswith("#"):
            assert link[1:] in anchors, link
        elif not link.startswith("https://"):
            assert (ROOT / link.split("#")[0]).exists(), link


def test_every_section_is_in_the_contents() -> None:
    sections = re.findall(r"^## (.+)$", _without_code(TEXT), re.MULTILINE)
    listed = re.findall(r"^- \[(.+?)\]\(#", PROSE, re.MULTILINE)
    assert listed == sections


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_every_call_has_its_entry(call: Hypercall) -> None:
    assert _anchors(TEXT).count(call.handler) == 1
    entry = re.search(rf"^#### {call.name}\n(.*?)(?=^#)", TEXT, re.MULTILINE | re.DOTALL)
    assert entry
    assert f"{call.macro} = 0x{call.nr:02x}" in entry[1]
    for errno, cause in call.errors.items():
        assert f"| `-{errno.macro}` | {cause} |" in entry[1]


def test_every_name_in_the_prose_is_in_the_table() -> None:
    known = {*CONSTANTS, "PV_E"}
    known |= {row.macro for row in ABI.errnos} | {row.macro for row in ABI.features}
    known |= {row.macro for row in ABI.calls}
    known |= {f"{row.name}_{field.name}".upper() for row in ABI.structs for field in row.fields}
    assert set(re.findall(r"\bPV_[A-Z0-9_]*[A-Z0-9]", PROSE)) <= known
    for struct_name, field_name in re.findall(r"\b(pv_[a-z_]+)\.([a-z_]+)\b", PROSE):
        layout.offsetof(struct_name, field_name)


def test_numbers_in_the_prose_are_the_tables() -> None:
    assert f"Version **{ABI.version}**" in PROSE
    for name in ("PV_HOLE_START", "PV_HOLE_END"):
        assert CONSTANTS[name].literal in PROSE
    for name in ("PV_CPUID_BASE", "PV_CPUID_VERSION", "PV_CPUID_FEATURES"):
        assert f"| `{CONSTANTS[name].literal}` |" in PROSE
    assert f"the stack, {CONSTANTS['PV_STACK_BYTES'].number // 1024} KiB" in PROSE
    assert f"One page holds {CONSTANTS['PV_CALLS_PER_PAGE'].number} stubs" in PROSE
    assert CONSTANTS["PV_CALLS_PER_PAGE"].number * CONSTANTS["PV_STUB_BYTES"].number == 4096
    assert "| arguments 1 to 5 | " + ", ".join(f"`{name}`" for name in ARG_REGISTERS) in PROSE
    assert "| clobbered | " + ", ".join(f"`{name}`" for name in CLOBBERED_REGISTERS) in PROSE
    noop = by_name("NOOP")
    assert noop and f"mov     $0x{noop.nr:02x}, %eax         /* NOOP */" in PROSE


@pytest.mark.needs_gcc
@pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc")
@pytest.mark.parametrize(
    ("language", "sample"),
    [("c", sample) for sample in _samples("c")]
    + [("assembler-with-cpp", sample) for sample in _samples("asm")],
)
def test_samples_compile(language: str, sample: str, tmp_path: Path) -> None:
    source = tmp_path / "sample"
    source.write_text(sample, encoding="utf-8")
    flags = ["-std=c11", "-Wall", "-Wextra", "-pedantic", "-Werror", "-I", str(ROOT / "guest_sdk/include")]
    command = ["gcc", *flags, "-x", language, "-c", str(source), "-o", str(tmp_path / "sample.o")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.needs_gcc
@pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc")
def test_the_smallest_guest_is_what_the_document_says(tmp_path: Path) -> None:
    """Built by the document's own command: static, a good note, no segment both writable and executable."""
    elffile = pytest.importorskip("elftools.elf.elffile")
    (tmp_path / "hello.S").write_text(_samples("asm")[0], encoding="utf-8")
    (tmp_path / "guest_sdk").symlink_to(ROOT / "guest_sdk")
    build, run = _samples("sh")[0].replace("\\\n", " ").splitlines()
    assert run == "pvisor run hello.elf"
    subprocess.run(build.split(), cwd=tmp_path, check=True)
    with (tmp_path / "hello.elf").open("rb") as file:
        elf = elffile.ELFFile(file)
        assert elf.header.e_type == "ET_EXEC"
        loads = [segment.header for segment in elf.iter_segments("PT_LOAD")]
        assert all(load.p_flags & 3 != 3 for load in loads)
        assert all(load.p_paddr >= 0x200000 for load in loads)
        notes = [note for segment in elf.iter_segments("PT_NOTE") for note in segment.iter_notes()]
        note = next(note for note in notes if note.n_name == CONSTANTS["PV_ELF_NOTE_NAME"].value)
        file.seek(
            note.n_offset + 8
        )  # the type's own bytes: pyelftools gives it a name that means something else
        assert int.from_bytes(file.read(4), "little") == CONSTANTS["PV_ELF_NOTE_TYPE"].value
        body = layout.unpack("pv_elf_note", note.n_descdata)
    assert body == {"abi_version": ABI.version, "reserved": 0, "needed_features": 0}
