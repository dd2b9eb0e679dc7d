# SPDX-License-Identifier: GPL-2.0-or-later
"""hypercalls.md: its links lead somewhere, its samples compile, its numbers are the table's."""

from __future__ import annotations

import ctypes
import platform
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvisor.abi import layout
from pvisor.abi.calls import ARG_REGISTERS, CALLS, CLOBBERED_REGISTERS, by_name
from pvisor.abi.emit.reference import BEGIN
from pvisor.abi.model import Hypercall
from pvisor.abi.table import ABI
from pvisor.errors import GuestRefused
from pvisor.vmm.config import DomainConfig
from pvisor.vmm.run import run_domain

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "hypercalls.md").read_text(encoding="utf-8")
PROSE = TEXT.split(BEGIN, maxsplit=1)[0]
FLAT = " ".join(PROSE.split())
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
    contents = PROSE.split("\n## ", maxsplit=1)[0]
    listed = re.findall(r"^- \[(.+?)\]\(#", contents, re.MULTILINE)
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
    assert f"One page holds {CONSTANTS['PV_CALLS_PER_PAGE'].number} stubs" in FLAT
    n_calls = CONSTANTS["PV_HYPERCALL_PAGES"].number * CONSTANTS["PV_CALLS_PER_PAGE"].number
    assert f"for the numbers `0x00` to `0x{n_calls - 1:02x}`" in FLAT
    hole = range(CONSTANTS["PV_HOLE_START"].number, CONSTANTS["PV_HOLE_END"].number, 1 << 39)
    assert f"({hole[0] >> 39 & 511} to {hole[-1] >> 39 & 511}) are the hypervisor's" in FLAT
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
def test_the_smallest_guest_is_what_the_document_says(tmp_path: Path) -> None:
    """Built by the document's own command: static, a good note, no segment both writable and executable."""
    elffile = pytest.importorskip("elftools.elf.elffile")
    with _built("hello.S", "asm", tmp_path).open("rb") as file:
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


# --- samples that run


def _built(name: str, language: str, folder: Path) -> Path:
    """A whole guest of the document, built by the command that stands below it."""
    source = next(sample for sample in _samples(language) if f"/* {name}: " in sample)
    command = next(sample for sample in _samples("sh") if name in sample)
    (folder / name).write_text(source, encoding="utf-8")
    (folder / "guest_sdk").symlink_to(ROOT / "guest_sdk")
    build, run = command.replace("\\\n", " ").splitlines()
    elf = Path(name).with_suffix(".elf")
    assert run == f"pvisor run {elf}"
    subprocess.run(build.split(), cwd=folder, check=True)
    return folder / elf


@pytest.mark.needs_gcc
@pytest.mark.parametrize("tier", ["native", "python"])
@pytest.mark.parametrize(
    ("name", "language", "prints"),
    [("hello.S", "asm", b"hello from CPL 1\n"), ("minimum.c", "c", b"tick\ntick\ntick\n")],
)
def test_whole_guests_run(name: str, language: str, prints: bytes, tier: str, tmp_path: Path) -> None:
    config = DomainConfig(_built(name, language, tmp_path), "para", 4 << 20, max_insns=1_000_000, tier=tier,
                          debug_abi=True)  # fmt: skip
    try:
        result = run_domain(config)
    except GuestRefused as refused:
        pytest.skip(str(refused))
    assert (result.ending.status, result.output) == (0, prints), result.ending.reason


TSC = st.integers(0, (1 << 64) - 1)


@pytest.fixture(scope="module")
def formula(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes, int], int]:
    """The document's `system_time`, compiled for the host."""
    sample = next(sample for sample in _samples("c") if "uint64_t system_time(" in sample)
    folder = tmp_path_factory.mktemp("time")
    (folder / "time.c").write_text(sample, encoding="utf-8")
    include, source, library = ROOT / "guest_sdk/include", folder / "time.c", folder / "time.so"
    command = f"gcc -std=c11 -O2 -shared -fPIC -I {include} {source} -o {library}"
    subprocess.run(command.split(), check=True)
    function = ctypes.CDLL(str(library)).system_time
    function.argtypes, function.restype = (ctypes.c_char_p, ctypes.c_uint64), ctypes.c_uint64
    return function


@pytest.mark.needs_gcc
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the sample is for x86-64")
@given(tsc_at=TSC, passed=TSC, system_ns=st.integers(0, 1 << 62), mul=st.integers(0, (1 << 32) - 1),
       shift=st.integers(0, 31))  # fmt: skip
def test_the_formula_of_time(formula: Callable[[bytes, int], int], tsc_at: int, passed: int, system_ns: int,
                             mul: int, shift: int) -> None:  # fmt: skip
    """What the sample computes is what the formula above it says, with whole numbers."""
    line = next(line for line in PROSE.splitlines() if line.startswith("system time = "))
    tsc = tsc_at + passed & (1 << 64) - 1
    names = {"system_ns": system_ns, "TSC": passed, "tsc_at": 0, "tsc_shift": shift, "tsc_mul": mul}
    wanted = eval(line.partition("=")[2], {"__builtins__": {}}, names) & (1 << 64) - 1
    part = bytearray(layout.sizeof("pv_vcpu_info"))
    times = (("tsc_at", tsc_at, 8), ("system_ns", system_ns, 8), ("tsc_mul", mul, 4), ("tsc_shift", shift, 1))
    for name, value, size in times:
        at = layout.offsetof("pv_vcpu_info", name)
        part[at : at + size] = value.to_bytes(size, "little")
    assert formula(bytes(part), tsc) == wanted
