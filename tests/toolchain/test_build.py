# SPDX-License-Identifier: GPL-2.0-or-later
"""Building guests: what comes out, what is said, and that nothing half-made is left behind."""

from __future__ import annotations

import os
import shlex
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pvisor.errors import BuildError, UsageError
from pvisor.paths import sdk_dir
from pvisor.toolchain.build import MODES, build_guest, sdk_sources
from pvisor.toolchain.compilers import find_compiler
from pvisor.toolchain.demos import find_demo

GOOD = "int main(void) { return 0; }\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "guest.c"
    path.write_text(GOOD)
    return path


def one_line(error: pytest.ExceptionInfo[UsageError]) -> str:
    assert error.value.status == 125
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("mode", MODES)
def test_hello_builds_in_each_mode_twice_the_same(mode: str, tmp_path: Path) -> None:
    sources = find_demo("hello").sources
    first = build_guest(sources, tmp_path / "one.elf", mode)
    second = build_guest(sources, tmp_path / "two.elf", mode)
    assert first.path.read_bytes()[:4] == b"\x7fELF"
    assert first.path.read_bytes() == second.path.read_bytes()
    assert (first.mode, first.warnings) == (mode, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.elf", "two.elf"]


@pytest.mark.parametrize("mode", MODES)
def test_the_zig_wheel_builds_too(mode: str, tmp_path: Path) -> None:
    pytest.importorskip("ziglang", reason="the ziglang wheel is not installed")
    environ = {**os.environ, "PVISOR_CC": shlex.join([sys.executable, "-m", "ziglang", "cc"])}
    result = build_guest(find_demo("hello").sources, tmp_path / "zig.elf", mode, environ=environ)
    assert result.path.read_bytes()[:4] == b"\x7fELF"


def test_warnings_are_handed_on_in_the_compilers_words(tmp_path: Path) -> None:
    path = tmp_path / "warn.c"
    path.write_text("int main(void) { int unused_thing; return 0; }\n")
    result = build_guest([path], tmp_path / "warn.elf", "para")
    assert "warning:" in result.warnings
    assert "unused_thing" in result.warnings


def test_an_error_is_the_compilers_words_and_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "bad.c"
    path.write_text("int main(void) { return nonsense; }\n")
    with pytest.raises(BuildError) as caught:
        build_guest([path], tmp_path / "bad.elf", "full")
    assert f"{path}:1:" in str(caught.value)
    assert "nonsense" in str(caught.value)
    assert caught.value.status == 125
    assert sorted(item.name for item in tmp_path.iterdir()) == ["bad.c"]


def test_an_error_leaves_the_former_output_alone(tmp_path: Path) -> None:
    (tmp_path / "bad.c").write_text("#error stop here\n")
    output = tmp_path / "guest.elf"
    output.write_bytes(b"former")
    with pytest.raises(BuildError, match="stop here"):
        build_guest([tmp_path / "bad.c"], output, "full")
    assert output.read_bytes() == b"former"


def test_a_missing_main_is_the_linkers_word(tmp_path: Path) -> None:
    (tmp_path / "empty.c").write_text("int other(void) { return 0; }\n")
    with pytest.raises(BuildError, match="main"):
        build_guest([tmp_path / "empty.c"], tmp_path / "empty.elf", "full")


def test_the_hosts_headers_are_not_the_guests(tmp_path: Path) -> None:
    (tmp_path / "host.c").write_text("#include <stdio.h>\n" + GOOD)
    with pytest.raises(BuildError, match=r"stdio\.h"):
        build_guest([tmp_path / "host.c"], tmp_path / "host.elf", "full")


def test_the_freestanding_headers_are_there(tmp_path: Path) -> None:
    names = ("float", "limits", "stdalign", "stdarg", "stdbool", "stddef", "stdint", "stdnoreturn")
    (tmp_path / "free.c").write_text("".join(f"#include <{name}.h>\n" for name in names) + GOOD)
    assert build_guest([tmp_path / "free.c"], tmp_path / "free.elf", "full").warnings == ""


def test_c_and_assembly_of_the_same_name(tmp_path: Path) -> None:
    (tmp_path / "guest.c").write_text("int seven(void);\nint main(void) { return seven(); }\n")
    (tmp_path / "guest.S").write_text("#ifdef PV_MODE_FULL\n.globl seven\nseven: mov $7, %eax; ret\n#endif\n")
    sources = [tmp_path / "guest.c", tmp_path / "guest.S"]
    assert build_guest(sources, tmp_path / "guest.elf", "full").warnings == ""
    with pytest.raises(BuildError, match="seven"):
        build_guest(sources, tmp_path / "guest.elf", "para")


def test_defines_and_flags_reach_the_guests_sources_only(tmp_path: Path) -> None:
    path = tmp_path / "guest.c"
    path.write_text('_Static_assert(A == 5 && B == 6, "");\n' + GOOD)
    result = build_guest([path], tmp_path / "guest.elf", "para", defines={"A": "5"}, extra_flags=["-DB=6"])
    with_define = [command for command in result.commands if "-DA=5" in command and "-DB=6" in command]
    assert len(with_define) == 1
    assert str(path) in with_define[0]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("missing.c", "missing.c: no such file"),
        (".", "is a folder, not a source file"),
        ("notes.txt", "not a C"),
    ],
)
def test_a_wrong_source_is_one_line(tmp_path: Path, given: str, words: str) -> None:
    (tmp_path / "notes.txt").write_text("notes")
    with pytest.raises(UsageError, match=words) as caught:
        build_guest([tmp_path / given], tmp_path / "out.elf", "full")
    one_line(caught)


def test_no_source_and_no_such_mode(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no source file"):
        build_guest([], tmp_path / "out.elf", "full")
    with pytest.raises(UsageError, match="no such mode: 'fast'"):
        build_guest([source], tmp_path / "out.elf", "fast")


def test_a_wrong_output_is_one_line(source: Path, tmp_path: Path) -> None:
    for output, words in [
        (tmp_path, "is a folder"),
        (tmp_path / "no" / "out.elf", "there is no folder"),
        (source, "is one of the source files"),
        (Path("/proc/out.elf"), "/proc/out.elf: "),
    ]:
        with pytest.raises(UsageError, match=words) as caught:
            build_guest([source], output, "full")
        one_line(caught)
    assert source.read_text() == GOOD


def test_a_device_is_written_to_not_replaced(source: Path) -> None:
    build_guest([source], "/dev/null", "para")
    assert Path("/dev/null").is_char_device()


def test_an_output_behind_a_link_keeps_the_link(source: Path, tmp_path: Path) -> None:
    (tmp_path / "real.elf").write_bytes(b"former")
    link = tmp_path / "link.elf"
    link.symlink_to("real.elf")
    build_guest([source], link, "para")
    assert link.is_symlink()
    assert (tmp_path / "real.elf").read_bytes()[:4] == b"\x7fELF"


def test_builds_at_the_same_time_do_not_disturb_each_other(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "same.elf"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: build_guest([source], output, "para"), range(4)))
    build_guest([source], tmp_path / "alone.elf", "para")
    assert output.read_bytes() == (tmp_path / "alone.elf").read_bytes()


def test_the_output_can_be_started_like_any_program_file(source: Path, tmp_path: Path) -> None:
    former = os.umask(0o022)
    try:
        result = build_guest([source], tmp_path / "out.elf", "full", compiler=find_compiler(os.environ))
    finally:
        os.umask(former)
    assert result.path.stat().st_mode & 0o777 == 0o755


def test_both_wings_have_the_same_sources_but_for_those_without_a_twin() -> None:
    names = {mode: {path.name for path in sdk_sources(sdk_dir(), mode)} for mode in MODES}
    assert names["full"] - names["para"] == {
        "apic.c", "pic.c", "segments.c",
    }  # fmt: skip
    assert names["para"] - names["full"] == {
        "console_ring.c", "device.c", "entropy.c", "event.c", "grant.c", "ring.c", "store.c",
    }  # fmt: skip
