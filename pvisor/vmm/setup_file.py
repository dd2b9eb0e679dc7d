# SPDX-License-Identifier: GPL-2.0-or-later
"""A file that describes several domains, for `pvisor up`: TOML, one table a domain and a network.

    [network.lan]
    pcap = "lan.pcap"                  # what goes over it, for Wireshark

    [domain.server]
    kernel = "server.elf"              # the only key that must be there
    mode = "auto"                      # auto, full, para, emu, hybrid
    memory = "64M"                     # without it 256M for a kernel's file of 8M or more, else 64M
    memory_targets = [                 # mode para: how much of it the host wants it to have, and from when on
        { at_ms = 10, memory = "24M" },  # milliseconds of virtual time
    ]
    vcpus = 1
    weight = 256                       # its share of the CPU
    cap = 0                            # the most of it, in percent; 0: no limit
    cmdline = ""
    entry = "auto"                     # auto, pvh, multiboot, linux32, linux64
    initrd = "initrd.gz"               # PC kernels: boot modules
    modules = ["FILE", "FILE=ARGS"]
    disks = ["disk.img", "other.img,ro"]
    network = "lan"
    group = "storage"                  # with --threads: those of one group share a physical CPU
    console = "server.log"             # a file; without it, stdout, each line with the domain's name
    cpu = "sandybridge,-xsave"         # PC kernels: as `pvisor run --cpu`
    seed = 0                           # of its times and its entropy, as `pvisor run --seed`
    served_by = { "block/0" = "disks" }  # devices that another domain serves, not the host
    tier = "native"                    # native, python
    transport = "syscall"              # syscall, vmcall, int
    max_insns = 1000000                # of all its virtual CPUs together
    timeout = 10.0                     # seconds of the host

Paths are relative to the file's folder. A key that is not known is refused.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pvisor.errors import UsageError
from pvisor.full.kernel_file import ENTRIES
from pvisor.machine.memory import PAGE_BYTES
from pvisor.machine.modules import ModuleFile
from pvisor.vmm.config import MODES, TIERS, TRANSPORTS, USUAL_MEMORY, DiskConfig, DomainConfig

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_MAX_BYTES = 1 << 52
"""As much as x86-64 can address."""
MAX_AT_MS = 1 << 40
"""Of virtual time, some 35 years."""
_KEYS_OF_OPTIONS = {"disk": "disks", "module": "modules"}
_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class NetworkSetup:
    """A network, and where its traffic is written, if anywhere."""

    name: str
    pcap: Path | None = None


@dataclass(frozen=True, slots=True)
class MemoryTarget:
    """How much memory the host wants a domain to have at most, from a virtual time on."""

    at_ns: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class DomainSetup:
    """A domain, and the file for its console; None: stdout."""

    config: DomainConfig
    console: Path | None = None
    served_by: Mapping[str, str] = field(default_factory=dict)
    """Devices that other domains serve: (folder -> domain)."""
    memory_targets: tuple[MemoryTarget, ...] = ()


@dataclass(frozen=True, slots=True)
class Setup:
    """All that the file says, in its order."""

    networks: tuple[NetworkSetup, ...] = ()
    domains: tuple[DomainSetup, ...] = ()


def by_keys(message: str) -> str:
    """A message that names options of `pvisor run`, with the file's keys instead."""
    return re.sub(r"(?<!\S)--([a-z]+)", lambda option: _KEYS_OF_OPTIONS.get(option[1], option[1]), message)


def read_setup(path: Path) -> Setup:
    """Read the file. Raises UsageError with one line that says what is wrong, and where."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({(error.strerror or str(error)).lower()})") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: is not UTF-8 text") from None
    except ValueError as error:  # TOMLDecodeError, or a number of more digits than Python reads
        raise UsageError(f"{path}: is not TOML: {_line(str(error))}") from None
    except RecursionError:
        raise UsageError(f"{path}: is not TOML that can be read: it is nested too deeply") from None
    known = {"network", "domain"}
    for key in tables:
        if key not in known:
            raise UsageError(
                f"{path}: [{_line(key)}] is not known; there are [network.NAME] and [domain.NAME]"
            )
    networks = tuple(_network(_Table(path, "network", n, t)) for n, t in _named(path, tables, "network"))
    domains = tuple(_domain(_Table(path, "domain", n, t)) for n, t in _named(path, tables, "domain"))
    if not domains:
        raise UsageError(f"{path}: describes no domain; add [domain.NAME] with its kernel")
    names = {network.name for network in networks}
    for domain in domains:
        for folder, backend in domain.served_by.items():
            if backend == domain.config.name:
                where = f"{path}: [domain.{backend}] served_by"
                raise UsageError(f"{where} {folder!r}: a domain does not serve itself")
            if backend not in (other.config.name for other in domains):
                where = f"{path}: [domain.{domain.config.name}] served_by"
                raise UsageError(f"{where} {folder!r}: there is no [domain.{_line(backend)}]")
        wanted = domain.config.network
        if wanted and wanted not in names:
            where = f"{path}: [domain.{domain.config.name}] network"
            raise UsageError(f"{where} {wanted!r}: there is no [network.{_line(wanted)}]")
    return Setup(networks, domains)


def _named(path: Path, tables: Mapping[str, object], kind: str) -> list[tuple[str, Mapping[str, object]]]:
    found = tables.get(kind, {})
    if not isinstance(found, dict):
        raise UsageError(f"{path}: {kind} must be tables of the form [{kind}.NAME]")
    for name, table in found.items():
        if not isinstance(table, dict):
            raise UsageError(f"{path}: {kind}.{name} must be a table, [{kind}.{name}]")
        if not NAME.fullmatch(name):
            raise UsageError(
                f"{path}: {name!r} is no name of a {kind}; use up to 32 letters, digits, - and _"
            )
    return list(found.items())


@dataclass(slots=True)
class _Table:
    """One table, whose keys are taken out one by one; what is left is not known."""

    path: Path
    kind: str
    name: str
    rest: Mapping[str, object]
    _left: dict[str, object] = field(init=False)
    _asked: list[str] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._left = dict(self.rest)

    def take(self, key: str, default: _T, read: Callable[[object], _T], form: str) -> _T:
        """A key's value, or the default. `read` raises ValueError or TypeError for one that will not do."""
        self._asked.append(key)
        if key not in self._left:
            return default
        value = self._left.pop(key)
        try:
            return read(value)
        except (ValueError, TypeError):
            raise UsageError(f"{self.where(key)} = {value!r} will not do; give {form}") from None

    def where(self, key: str) -> str:
        """The place of a key, for messages."""
        return f"{self.path}: [{self.kind}.{self.name}] {_line(key)}"

    def file(self, key: str) -> Path | None:
        """A path, relative to the file's folder."""
        return self.take(key, None, lambda value: self.path.parent / _text(value), "the name of a file")

    def end(self) -> None:
        """Nothing may be left."""
        for key in self._left:
            raise UsageError(f"{self.where(key)}: is not known; there are {', '.join(self._asked)}")


def _line(text: str) -> str:
    """Text of the file's in a message, which has one line."""
    return text if text.isprintable() else repr(text)


def _words(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError
    return value


def _text(value: object) -> str:
    if not _words(value):
        raise ValueError
    return str(value)


def _whole(low: int, high: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError
        return value

    return read


def _one_of(names: tuple[str, ...]) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in names:
            raise ValueError
        return str(value)

    return read


def _size(value: object) -> int:
    if isinstance(value, int):
        return _whole(1, _MAX_BYTES)(value)
    found = re.fullmatch(r"(\d{1,18})([KMGT]?)(?:i?B)?", _text(value), re.IGNORECASE | re.ASCII)
    if found is None:
        raise ValueError
    return _whole(1, _MAX_BYTES)(int(found[1]) << _UNITS[found[2].upper()])


def _seconds(value: object) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < 1e9:
        raise ValueError
    return float(value)


def _texts(value: object) -> list[str]:
    if not isinstance(value, list):
        raise ValueError
    return [_text(one) for one in value]


def _pairs(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError
    return {_text(key): _text(one) for key, one in value.items()}


def _targets(memory_bytes: int) -> Callable[[object], tuple[MemoryTarget, ...]]:
    """Reads targets of a domain with so much memory."""

    def one(value: object) -> MemoryTarget:
        if not isinstance(value, dict) or set(value) != {"at_ms", "memory"}:
            raise ValueError
        target = MemoryTarget(_whole(0, MAX_AT_MS)(value["at_ms"]) * 1_000_000, _size(value["memory"]))
        if target.memory_bytes > memory_bytes or target.memory_bytes % PAGE_BYTES:
            raise ValueError
        return target

    def read(value: object) -> tuple[MemoryTarget, ...]:
        if not isinstance(value, list):
            raise ValueError
        return tuple(map(one, value))

    return read


def _network(table: _Table) -> NetworkSetup:
    network = NetworkSetup(table.name, table.file("pcap"))
    table.end()
    return network


def _domain(table: _Table) -> DomainSetup:
    folder = table.path.parent
    kernel = table.file("kernel")
    if kernel is None:
        raise UsageError(f"{table.where('kernel')}: is missing; give the kernel's file")

    def disk(text: str) -> DiskConfig:
        return DiskConfig(folder / _text(text.removesuffix(",ro")), read_only=text.endswith(",ro"))

    def module(text: str) -> ModuleFile:
        name, _, arguments = text.partition("=")
        return ModuleFile(folder / _text(name), arguments)

    network = table.take("network", "", _text, "the name of a network")
    names = "a list of files' names"
    config = DomainConfig(
        kernel, name=table.name, network=network, net=bool(network), initrd=table.file("initrd"),
        group=table.take("group", "", _text, "a name"),
        cpu=table.take("cpu", None, _text, "a CPU, as sandybridge,-xsave"),
        seed=table.take("seed", 0, _whole(0, (1 << 63) - 1), "a whole number from 0"),
        entry=table.take("entry", "auto", _one_of(ENTRIES), ", ".join(ENTRIES)),
        mode=table.take("mode", "auto", _one_of(MODES), ", ".join(MODES)),
        memory_bytes=table.take("memory", USUAL_MEMORY, _size, "a size, as 64M"),
        n_vcpus=table.take("vcpus", 1, _whole(1, 16), "1 to 16"),
        weight=table.take("weight", 256, _whole(1, 65535), "1 to 65535"),
        cap_percent=table.take("cap", 0, _whole(0, 100), "percent, 0 to 100"),
        cmdline=table.take("cmdline", "", _words, "a text"),
        modules=tuple(table.take("modules", [], lambda value: [module(t) for t in _texts(value)], names)),
        disks=tuple(table.take("disks", [], lambda value: [disk(t) for t in _texts(value)], names)),
        tier=table.take("tier", "native", _one_of(TIERS), ", ".join(TIERS)),
        transport=table.take("transport", "syscall", _one_of(TRANSPORTS), ", ".join(TRANSPORTS)),
        max_insns=table.take("max_insns", None, _whole(1, (1 << 63) - 1), "a number of instructions"),
        timeout_s=table.take("timeout", None, _seconds, "seconds of the host's time"),
    )  # fmt: skip
    served_by = table.take("served_by", dict[str, str](), _pairs, 'a table, as { "block/0" = "disks" }')
    targets = table.take(
        "memory_targets", tuple[MemoryTarget, ...](), _targets(config.memory_bytes),
        'a list, as [{ at_ms = 10, memory = "24M" }], of whole pages and no more than the domain\'s memory',
    )  # fmt: skip
    domain = DomainSetup(config, table.file("console"), served_by, targets)
    table.end()
    return domain
