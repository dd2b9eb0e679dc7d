# SPDX-License-Identifier: GPL-2.0-or-later
"""The file of `pvisor up`: what it may say, and one line with the place for all that it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvisor.errors import UsageError
from pvisor.machine.modules import ModuleFile
from pvisor.vmm.config import DiskConfig, DomainConfig
from pvisor.vmm.setup_file import DomainSetup, MemoryTarget, NetworkSetup, Setup, by_keys, read_setup


def read(folder: Path, text: str | bytes) -> Setup:
    """Read such a file."""
    path = folder / "setup.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_setup(path)


def one(folder: Path, lines: str) -> DomainSetup:
    """The one domain of a file, called d, with a kernel."""
    (domain,) = read(folder, f'[network.lan]\n[domain.d]\nkernel = "k.elf"\n{lines}\n').domains
    return domain


def test_the_least(tmp_path: Path) -> None:
    assert read(tmp_path, '[domain.me]\nkernel = "k.elf"') == Setup(
        (), (DomainSetup(DomainConfig(tmp_path / "k.elf", name="me")),)
    )


def test_everything(tmp_path: Path) -> None:
    setup = read(tmp_path, """
        [network.lan]
        pcap = "out/lan.pcap"
        [network.wan]
        [domain.server]
        kernel = "/abs/server.elf"
        mode = "full"
        memory = "1G"
        vcpus = 2
        weight = 65535
        cap = 100
        cmdline = "a b"
        entry = "linux32"
        initrd = "initrd.gz"
        modules = ["one", "two=with arguments=x"]
        disks = ["disk.img", "other.img,ro"]
        network = "lan"
        console = "server.log"
        seed = 7
        group = "g"
        tier = "python"
        transport = "int"
        max_insns = 1
        timeout = 2
        [domain.other]
        kernel = "k"
        served_by = { "block/0" = "server" }
        memory = "8M"
        memory_targets = [{ at_ms = 10, memory = "4M" }, { at_ms = 20, memory = 8388608 }]
    """)  # fmt: skip
    assert setup.networks == (NetworkSetup("lan", tmp_path / "out/lan.pcap"), NetworkSetup("wan"))
    assert setup.domains[0] == DomainSetup(
        DomainConfig(
            Path("/abs/server.elf"), "full", 1 << 30, "a b", tmp_path / "initrd.gz",
            (ModuleFile(tmp_path / "one", ""), ModuleFile(tmp_path / "two", "with arguments=x")),
            "python", "int", 1, 2.0, name="server", net=True, network="lan", n_vcpus=2, weight=65535,
            cap_percent=100, seed=7, group="g", entry="linux32",
            disks=(DiskConfig(tmp_path / "disk.img"), DiskConfig(tmp_path / "other.img", read_only=True)),
        ),
        tmp_path / "server.log",
    )  # fmt: skip
    assert setup.domains[1].served_by == {"block/0": "server"}
    assert setup.domains[1].memory_targets == (
        MemoryTarget(10_000_000, 4 << 20), MemoryTarget(20_000_000, 8 << 20),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("written", "n_bytes"),
    [('"64M"', 64 << 20), ('"64m"', 64 << 20), ('"64MiB"', 64 << 20), ('"64MB"', 64 << 20), ('"4096"', 4096),
     ("4096", 4096), ('"1T"', 1 << 40), ('"16K"', 16384)],
)  # fmt: skip
def test_sizes(tmp_path: Path, written: str, n_bytes: int) -> None:
    assert one(tmp_path, f"memory = {written}").config.memory_bytes == n_bytes


def check_refusal(folder: Path, text: str | bytes, *words: str) -> None:
    """It is refused in one line that begins with the file's name and has these words."""
    with pytest.raises(UsageError) as caught:
        read(folder, text)
    message = str(caught.value)
    assert message.startswith(f"{folder / 'setup.toml'}: ")
    assert message.isprintable(), "one line"
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ("no domain",)),
        ("[network.lan]", ("no domain",)),
        ("domain = 5", ("domain must be tables",)),
        ("domain = []", ("domain must be tables",)),
        ("[domain]", ("no domain",)),
        ("[domain]\nx = 1", ("domain.x", "[domain.x]")),
        ("[[domain.d]]\nkernel = 'k'", ("domain.d",)),
        ("network = 'lan'", ("network must be tables",)),
        ("[domains.d]\nkernel = 'k'", ("[domains]", "[domain.NAME]")),
        ("[domain.d]", ("[domain.d] kernel", "missing")),
        ("[domain.d]\nkernel = ''", ("[domain.d] kernel",)),
        ("[domain.d]\nkernel = 3", ("[domain.d] kernel", "3")),
        ('[domain."a b"]\nkernel = "k"', ("'a b'",)),
        ('[domain."../x"]\nkernel = "k"', ("../x",)),
        ('[domain.""]\nkernel = "k"', ("''",)),
        (f"[domain.{'n' * 33}]\nkernel = 'k'", ("32",)),
        ('["domain\\nx"]', ("is not known",)),
        ("[network.lan]\npcap = 1", ("[network.lan] pcap",)),
        ("[network.lan]\nspeed = 1", ("[network.lan] speed", "not known", "there are pcap")),
        ("[domain.d]\nkernel = 'k'\nram = 1", ("[domain.d] ram", "not known", "memory", "served_by")),
        ("[domain.d]\nkernel = 'k'\nserved_by = {'block/0' = 'd'}", ("[domain.d] served_by", "itself")),
        ("[domain.d]\nkernel = 'k'\nnetwork = 'lan'", ("[network.lan]",)),
        ("[domain.d]\nkernel = 'k'\nnetwork = \"l\\nan\"", ("[domain.d] network",)),
        ("[domain.d]\nkernel = 'k'\nserved_by = {'block/0' = 'x'}", ("[domain.d]", "[domain.x]")),
        ("[domain.d]\nkernel = 'k'\nserved_by = {'block/0' = \"x\\n\"}", ("[domain.d]",)),
        ("[domain.d]\nkernel = 'k'\n\"wei\\nght\" = 2", ("is not known",)),
        ("[domain.d", ("TOML",)),
        ("x = ", ("TOML",)),
        ("[domain.d]\n[domain.d]", ("TOML", "line 2")),
        (b"[domain.d]\nkernel = '\xff'", ("UTF-8",)),
        ("[domain.d]\nkernel = " + "[" * 5000, ("TOML",)),
        ("[domain.d]\nkernel = 'k'\nweight = " + "9" * 5000, ("TOML",)),
        ("\0", ("TOML",)),
    ],
)  # fmt: skip
def test_a_wrong_file(tmp_path: Path, text: str | bytes, words: tuple[str, ...]) -> None:
    check_refusal(tmp_path, text, *words)


WRONG_VALUES = {
    "memory_targets": (
        '"24M"', '["24M"]', "{ at_ms = 1, memory = 4096 }", "[{ at_ms = 1 }]", "[{ memory = '24M' }]",
        "[{ at_ms = -1, memory = '24M' }]", "[{ at_ms = 1.5, memory = '24M' }]",
        "[{ at_ms = 1, memory = '65M' }]", "[{ at_ms = 1, memory = 5000 }]", "[{ at_ms = 1, memory = 0 }]",
        "[{ at_ms = 1, memory = '24M', x = 1 }]", f"[{{ at_ms = {1 << 41}, memory = '24M' }}]",
    ),
    "mode": ('"paravirtual"', "1", "[]", '""'),
    "memory": ('"64X"', '"-1M"', '""', '"M"', "1.5", "true", "[]", "-1", "0", '"1e3"', '"٣"'),
    "vcpus": ("0", "17", '"2"', "true", "1.0"),
    "weight": ("0", "65536", "-1", "2.5", '"1"', "false"),
    "cap": ("-1", "101", '"10%"'),
    "cmdline": ("5", "[]", "true", '"a\\u0000b"'),
    "entry": ('"linux"', "1", '""'),
    "initrd": ('""', "1", "[]", '"a\\u0000"'),
    "modules": ('"one"', "[1]", '[""]', '["=x"]', "{}", '[["a"]]'),
    "disks": ('"disk.img"', "[1]", '[""]', '[",ro"]', '["a\\u0000b"]'),
    "network": ('""', "1", "[]"),
    "console": ('""', "1", '"a\\u0000"'),
    "seed": ("-1", '"x"', "1.5"),
    "group": ('""', "1"),
    "served_by": ('"x"', "[]", '{ "block/0" = 3 }'),
    "tier": ('"fast"', "1"),
    "transport": ('"sysenter"', "1"),
    "max_insns": ("0", "-1", '"1000"', "1.5"),
    "timeout": ("0", "-1", '"10"', "inf", "nan", "true", "1e10"),
    "color": ("1",),
    "Kernel": ('"k"',),
}  # fmt: skip


WRONG = [(key, value) for key, values in WRONG_VALUES.items() for value in values]


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_a_wrong_value(tmp_path: Path, key: str, value: str) -> None:
    text = f'[network.lan]\n[domain.d]\nkernel = "k.elf"\n{key} = {value}\n'
    check_refusal(tmp_path, text, f"[domain.d] {key}")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path, word in ((tmp_path / "nowhere.toml", "no such file"), (tmp_path, "directory")):
        with pytest.raises(UsageError, match=word):
            read_setup(path)


@pytest.mark.parametrize("line", ["", 'cmdline = ""', "disks = []", "modules = []", "cap = 0"])
def test_what_says_nothing_is_allowed(tmp_path: Path, line: str) -> None:
    assert one(tmp_path, line).config.name == "d"


@pytest.mark.parametrize(
    ("by_options", "by_the_file"),
    [
        ("--memory: 5 bytes are few; give more --memory", "memory: 5 bytes are few; give more memory"),
        ("--disk x: in use", "disks x: in use"), ("--module x: missing", "modules x: missing"),
        ("a file--name -- and so on", "a file--name -- and so on"),
    ],
)  # fmt: skip
def test_messages_name_the_files_keys(by_options: str, by_the_file: str) -> None:
    assert by_keys(by_options) == by_the_file
