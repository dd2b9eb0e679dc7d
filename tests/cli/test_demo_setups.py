# SPDX-License-Identifier: GPL-2.0-or-later
"""`pvisor up` with the demos of several domains, as their lab sheets say it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pvisor.toolchain.demos import Demo, find_demo
from tests.cli.support import Pvisor

pytestmark = pytest.mark.needs_gcc
PCAP_MAGIC = b"\x4d\x3c\xb2\xa1"
"""With times in nanoseconds."""


def build(pvisor: Pvisor, name: str, mode: str, folder: Path) -> None:
    """`pvisor build` of a demo, to the name that setup files have for it."""
    sources = find_demo(name).sources_for(mode)
    assert pvisor("build", *sources, "-o", folder / f"{name}-{mode}.elf", "--mode", mode).status == 0


def lines_of(demo: Demo, said: str, domain: str) -> None:
    """Has a domain printed what it should, each line behind its name?"""
    lines = [line.partition(" | ")[2] for line in said.splitlines() if line.split()[0] == domain]
    assert lines == demo.expected_of(domain).read_text("utf-8").splitlines()


@pytest.mark.parametrize("setup", ["up", "up-full", "up-para"])
def test_network(pvisor: Pvisor, tmp_path: Path, setup: str) -> None:
    demo = find_demo("network")
    file = tmp_path / f"{setup}.toml"
    file.write_bytes((demo.folder / file.name).read_bytes())
    for mode in ("full", "para"):
        build(pvisor, "network", mode, tmp_path)
    runs = []
    for _ in range(2):
        said = pvisor("up", file, "--stats", tmp_path / "s.json")
        capture = (tmp_path / "lan.pcap").read_bytes()
        runs.append((said, capture))
    assert runs[0] == runs[1] and said.status == 0, "times are virtual, so runs repeat"
    for domain in ("server", "client"):
        lines_of(demo, said.out, domain)
    assert capture.startswith(PCAP_MAGIC) and b"\x88\xb5" in capture
    facts = json.loads((tmp_path / "s.json").read_text("utf-8"))
    sheet = (demo.folder / "README.md").read_text("utf-8")
    if setup != "up":
        for domain in ("server", "client"):
            n_exits = sum(row["count"] for row in facts[domain]["exits"].values())
            assert f" {n_exits:,}" in sheet, f"{setup}, {domain}: {n_exits:,} exits"


def test_driver_domain(pvisor: Pvisor, tmp_path: Path) -> None:
    demo = find_demo("driver-domain")
    file = tmp_path / "up.toml"
    file.write_bytes((demo.folder / file.name).read_bytes())
    build(pvisor, "disk", "para", tmp_path)
    build(pvisor, "driver-domain", "para", tmp_path)
    said = pvisor("up", file)
    assert said.status == 0
    for domain in ("driver", "user"):
        lines_of(demo, said.out, domain)


def test_the_driver_is_ended_in_the_middle(pvisor: Pvisor, tmp_path: Path) -> None:
    """The user's disk fails, which it reports; nobody else is in danger."""
    demo = find_demo("driver-domain")
    text = (demo.folder / "up.toml").read_text("utf-8")
    file = tmp_path / "up.toml"
    file.write_text(text.replace("[domain.driver]\n", "[domain.driver]\nmax_insns = 20000\n"), "utf-8")
    build(pvisor, "disk", "para", tmp_path)
    build(pvisor, "driver-domain", "para", tmp_path)
    said = pvisor("up", file)
    assert said.status == 124 and "user   | not " in said.out
    assert "the guest reported its own failure" in said.err
