# SPDX-License-Identifier: GPL-2.0-or-later
"""Demos are found by name, by their folder's name, and by path."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvisor.errors import UsageError
from pvisor.toolchain.demos import Demo, find_demo, list_demos
from pvisor.vmm.setup_file import read_setup


@pytest.mark.parametrize("name", ["hello", "01-hello"])
def test_by_name(name: str) -> None:
    demo = find_demo(name)
    assert (demo.name, demo.folder.name, demo.title()) == ("hello", "01-hello", "Hello, twice")
    assert [source.name for source in demo.sources] == ["hello.c"]


def test_by_path(tmp_path: Path) -> None:
    folder = tmp_path / "07-mine"
    folder.mkdir()
    with pytest.raises(UsageError, match="holds no C"):
        find_demo(folder)
    (folder / "b.S").write_text("")
    (folder / "a.c").write_text("")
    demo = find_demo(str(folder))
    assert (demo.name, [source.name for source in demo.sources]) == ("mine", ["a.c", "b.S"])
    assert (demo.expected, demo.title()) == (None, "mine")


def test_sources_of_one_mode(tmp_path: Path) -> None:
    folder = tmp_path / "08-both"
    for name in ("a.c", "full/b.c", "full/c.S", "full/d.h", "para/b.c"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    demo = find_demo(folder)
    assert demo.modes == ("full", "para", "hybrid")
    assert [path.name for path in demo.sources_for("full")] == ["a.c", "b.c", "c.S"]
    assert [path.relative_to(folder).as_posix() for path in demo.sources_for("para")] == ["a.c", "para/b.c"]
    (folder / "a.c").unlink()
    assert find_demo(folder).modes == ("full", "para")
    (folder / "para" / "b.c").unlink()
    demo = find_demo(folder)
    assert demo.modes == ("full",) and [path.name for path in demo.sources_for("full")] == ["b.c", "c.S"]
    with pytest.raises(UsageError, match=r"for mode full only; its README.md says why"):
        demo.sources_for("para")


def test_a_demo_of_one_mode_says_in_its_lab_sheet_why() -> None:
    demo = find_demo("07-sensitive")
    assert (demo.name, demo.modes, demo.sources) == ("sensitive", ("full",), ())
    for other in list_demos():
        if other.modes == ("full",):
            assert "no twin in `para`" in (other.folder / "README.md").read_text("utf-8")


def test_an_unknown_one_is_one_line_that_names_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"helo: neither a demo .*hello.*") as caught:
        find_demo("helo")
    assert "\n" not in str(caught.value)


def test_every_demo_has_a_lab_sheet_and_an_expected_output() -> None:
    for demo in list_demos():
        assert (demo.folder / "README.md").is_file(), demo.name
        assert demo.expected is not None or demo.setups, demo.name
        for setup in demo.setups:
            for domain in read_setup(setup).domains:
                assert demo.expected_of(domain.config.name).is_file(), f"{setup}: {domain.config.name}"


def test_what_a_demo_needs(tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text("")
    assert facts(find_demo(tmp_path)) == (None, 0, False, (), ())
    (tmp_path / "input.txt").write_text("words")
    (tmp_path / "up.toml").write_text("")
    (tmp_path / "demo.toml").write_text('disk_bytes = 512\nnet = true\nwatch = ["one", "other"]\n')
    assert facts(find_demo(tmp_path)) == ("input.txt", 512, True, ("one", "other"), ("up.toml",))


def facts(demo: Demo) -> tuple[object, ...]:
    given = demo.input.name if demo.input else None
    return given, demo.disk_bytes, demo.net, demo.watch, tuple(path.name for path in demo.setups)


@pytest.mark.parametrize("words", ["disk", "disk_bytes = -1", 'disk_bytes = "1M"', "net = 1", "watch = 5",
                                   "watch = [1]", "memory = 5", "\xff"])  # fmt: skip
def test_a_demo_that_says_it_wrongly(words: str, tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text("")
    (tmp_path / "demo.toml").write_bytes(words.encode("latin-1"))
    with pytest.raises(UsageError, match=r"demo\.toml: ") as caught:
        find_demo(tmp_path)
    assert "\n" not in str(caught.value)
