# SPDX-License-Identifier: GPL-2.0-or-later
"""Each demo prints what its lab sheet promises, in every mode that it is for, at the cost that it says."""

from __future__ import annotations

import re
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pvisor.emu.vcpu import lane_works
from pvisor.machine.console import ConsoleInput, HostInput, NoInput
from pvisor.observe.compare import compare
from pvisor.toolchain.build import build_guest
from pvisor.toolchain.demos import Demo, find_demo, list_demos
from pvisor.vmm.config import DiskConfig, DomainConfig, Operation, RunResult
from pvisor.vmm.hypervisor import HostedDomain, Hypervisor
from pvisor.vmm.run import run_domain
from pvisor.vmm.setup_file import Setup, read_setup

DEMOS = list_demos()
RUNS = [
    (demo, mode)
    for demo in DEMOS
    if demo.expected is not None
    for mode in (*demo.modes, *(("emu",) if "full" in demo.modes else ()))
]
SETUPS = [(demo, setup) for demo in DEMOS for setup in demo.setups]
FIGURES = [demo for demo in DEMOS if "exits of one call of" in (demo.folder / "README.md").read_text("utf-8")]
ROW = re.compile(r"^\| `(\w+)` \| ([\d,.]+) \| ([\d,.]+) \| ([\d,.]+) \|$", re.MULTILINE)


def run(demo: Demo, mode: str, folder: Path, **settings: Any) -> RunResult:
    """Build and run a demo, with what it needs."""
    built_for = "full" if mode == "emu" else mode
    elf = build_guest(demo.sources_for(built_for), folder / "demo.elf", built_for).path
    if demo.disk_bytes:
        with (folder / "demo.img").open("wb") as file:
            file.truncate(demo.disk_bytes)
        settings["disks"] = (DiskConfig(folder / "demo.img"),)
    config = DomainConfig(elf, mode=mode, timeout_s=60, net=demo.net, **settings)
    if demo.input is None:
        return run_domain(config)
    with demo.input.open("rb") as file:
        return run_domain(config, input=HostInput(file.fileno()))


@pytest.mark.parametrize(("demo", "mode"), RUNS, ids=[f"{demo.name}-{mode}" for demo, mode in RUNS])
@pytest.mark.parametrize("tier", ["native", "python"])
def test_it_prints_what_it_should(demo: Demo, mode: str, tier: str, tmp_path: Path) -> None:
    if mode == "emu" and not lane_works():
        pytest.skip("the emulation lane does not work here")
    result = run(demo, mode, tmp_path, tier=tier)
    assert demo.expected is not None
    assert result.output == demo.expected.read_bytes()
    assert result.ending.status == 0, result.ending.reason


def prepare(setup_file: Path, folder: Path) -> Setup:
    """A setup file in a folder of its own, with the kernels that it names and the disks."""
    copy = folder / setup_file.name
    copy.write_bytes(setup_file.read_bytes())
    setup = read_setup(copy)
    for kernel in {domain.config.kernel for domain in setup.domains}:
        name, _, mode = kernel.stem.rpartition("-")
        build_guest(find_demo(name).sources_for(mode), kernel, mode)
    return setup


def run_setup(setup: Setup) -> tuple[list[HostedDomain], dict[str, list[bytes]]]:
    """Run its domains; the frames that went over each network."""
    frames: dict[str, list[bytes]] = {network.name: [] for network in setup.networks}
    with Hypervisor() as hypervisor:
        for name, seen in frames.items():
            hypervisor.add_network(name, partial(_keep, seen))
        domains = [hypervisor.create(domain.config) for domain in setup.domains]
        by_name = {domain.name: domain for domain in domains}
        for domain in setup.domains:
            for folder, backend in domain.served_by.items():
                hypervisor.let_serve(by_name[backend], by_name[domain.config.name], folder)
        hypervisor.run()
    return domains, frames


def _keep(seen: list[bytes], virtual_ns: int, frame: bytes) -> None:
    seen.append(bytes(frame))


@pytest.mark.parametrize(("demo", "setup"), SETUPS, ids=[f"{d.name}-{s.stem}" for d, s in SETUPS])
def test_several_domains(demo: Demo, setup: Path, tmp_path: Path) -> None:
    domains, frames = run_setup(prepare(setup, tmp_path))
    for domain in domains:
        assert domain.console.data == demo.expected_of(domain.name).read_bytes(), domain.name
        assert domain.status == 0, domain.ending
    assert all(frames.values()), "a network that nothing goes over"


@pytest.mark.needs_gcc
@pytest.mark.parametrize("demo", FIGURES, ids=[demo.name for demo in FIGURES])
def test_the_table_of_its_lab_sheet(demo: Demo, tmp_path: Path) -> None:
    """A page of the image more or less is a fill of the shadow tables, so a few exits do not matter."""
    if not lane_works():
        pytest.skip("the emulation lane does not work here")
    rows = ROW.findall((demo.folder / "README.md").read_text("utf-8"))
    names = [name for name, *_ in rows]
    with ExitStack() as files:

        def new_input() -> ConsoleInput:
            return HostInput(files.enter_context(demo.input.open("rb")).fileno()) if demo.input else NoInput()

        result = compare(
            {mode: demo.sources_for(mode) for mode in demo.modes}, tmp_path,
            DomainConfig(Path("demo.elf"), timeout_s=60, net=demo.net), name=demo.name, new_input=new_input,
            disk_bytes=demo.disk_bytes, functions=demo.watch,
        )  # fmt: skip
    assert result.differences == ()
    pairs = {pair.name: pair for pair in result.pairs}
    assert names and set(names) <= set(pairs)
    for name, *figures in rows:
        pair = pairs[name]
        for operation, figure in zip((pair.full, pair.emu, pair.para), figures, strict=True):
            assert is_about(operation, figure), f"{name}: {operation} is not {figure}"


def is_about(operation: Operation | None, figure: str) -> bool:
    """Do its exits of one call fit the lab sheet's figure?"""
    assert operation is not None
    said, found = float(figure.replace(",", "")), operation.exits / operation.calls
    return abs(said - found) <= max(2, said / 50) if said else found == 0


def test_the_hole_without_the_remedy(tmp_path: Path) -> None:
    """Demo 07: with --no-patch the lines marked with `!` are wrong, all of them and no other."""
    demo = find_demo("sensitive")
    result = run(demo, "full", tmp_path, remedy="none")
    assert result.output == (demo.folder / "expected-no-patch.txt").read_bytes()
    assert result.ending.status == 0 and result.patches == (0, 0)
    assert demo.expected is not None
    right, wrong = demo.expected.read_text("utf-8").splitlines(), result.output.decode().splitlines()
    for one, other in zip(right, wrong, strict=True):
        assert (one != other) is one.startswith("! "), one


def test_the_figures_of_its_lab_sheet(tmp_path: Path) -> None:
    """How many places there are is the compiler's choice; how often they run is not."""
    demo = find_demo("sensitive")
    result = run(demo, "full", tmp_path, remedy="patch")
    patched = ("pushf", "popf", "descriptor_store", "smsw", "segment_query")
    n_exits = sum(result.exits[reason].count for reason in patched)
    assert f": {n_exits} exits" in (demo.folder / "README.md").read_text("utf-8")
    assert result.patches is not None and 11 <= result.patches[0] == result.patches[1] <= n_exits
