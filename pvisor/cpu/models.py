# SPDX-License-Identifier: GPL-2.0-or-later
"""CPU models of a PC: what `--cpu` names, and what of each model this engine can stand for.

A model is one of Unicorn's, so an instruction that its CPUID does not show is #UD in the engine itself. On
top of it stand features that are the virtual CPU's own affair, by CR4 and CPUID, and can be had or not. What
a real CPU of the model has and the engine lacks is refused by name (AVX, above all), never shown and then
missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from pvisor.cpu import features as cpuid
from pvisor.errors import UsageError

_CORE2 = cpuid.SSE3 | cpuid.SSSE3 | cpuid.CX16 | cpuid.SSE4_1
_NEHALEM = _CORE2 | cpuid.SSE4_2 | cpuid.POPCNT
_WESTMERE = _NEHALEM | cpuid.PCLMULQDQ | cpuid.AES

FEATURES: Final = MappingProxyType({"pcid": cpuid.PCID, "xsave": cpuid.XSAVE})
"""What can be had or not, and its bit in ECX of CPUID.1."""

REFUSED: Final = MappingProxyType(
    {
        "avx": "the engine has no instruction with a VEX prefix: each is #UD",
        "avx2": "the engine has no instruction with a VEX prefix: each is #UD",
        "fma": "the engine has no instruction with a VEX prefix: each is #UD",
        "bmi1": "the engine has it with RDRAND only, and then no two runs would be equal",
        "bmi2": "the engine has it with RDRAND only, and then no two runs would be equal",
        "fsgsbase": "the engine has it with RDRAND only, and then no two runs would be equal",
        "movbe": "the engine has it with RDRAND only, and then no two runs would be equal",
        "rdrand": "no two runs would be equal",
        "rdseed": "no two runs would be equal",
        "invpcid": "the engine does not have it; INVLPG and CR3 do the work",
        "smep": "shadow paging at ring 1 does not look at it",
        "smap": "shadow paging at ring 1 does not look at it",
        "x2apic": "the local APIC has its registers in memory only",
        "monitor": "nobody else writes to the memory that it would watch",
        "tsc-deadline": "the local APIC's timer counts, once or again and again",
    }
)
"""Features that guests may look for and do not get, with the reason."""


@dataclass(frozen=True, slots=True)
class CpuModel:
    """A model: Unicorn's number for it, EAX and ECX of CPUID.1, and which of FEATURES it can have."""

    name: str
    engine: int
    signature: int
    ecx: int
    has_rdtscp: bool = False
    features: frozenset[str] = frozenset()


MODELS: Final = MappingProxyType(
    {
        model.name: model
        for model in (
            CpuModel("penryn", 14, 0x1_0673, _CORE2),
            CpuModel("nehalem", 15, 0x1_06A3, _NEHALEM),
            CpuModel("westmere", 16, 0x2_06C1, _WESTMERE, features=frozenset({"pcid"})),
            CpuModel("sandybridge", 17, 0x2_06A1, _WESTMERE, True, frozenset({"pcid", "xsave"})),
        )
    }
)
"""By name, the oldest first. Signatures are those of QEMU's models of the same names."""


@dataclass(frozen=True, slots=True)
class VirtualCpu:
    """A model, and which of its features are on."""

    model: CpuModel
    features: frozenset[str]

    def __str__(self) -> str:
        """The text that `parse_cpu` makes this of: `sandybridge,+pcid,-xsave`."""
        signs = (f",{'+' if name in self.features else '-'}{name}" for name in sorted(self.model.features))
        return self.model.name + "".join(signs)

    @property
    def signature(self) -> int:
        """EAX of CPUID.1."""
        return self.model.signature

    @property
    def has_rdtscp(self) -> bool:
        """Is there RDTSCP, with IA32_TSC_AUX?"""
        return self.model.has_rdtscp

    @property
    def ecx(self) -> int:
        """ECX of CPUID.1, but for what follows the guest's registers."""
        return self.model.ecx | sum(FEATURES[name] for name in self.features)


DEFAULT_CPU: Final = VirtualCpu(MODELS["sandybridge"], frozenset())
"""Without `--cpu`."""


def parse_cpu(text: str) -> VirtualCpu:
    """`MODEL[,+FEATURE][,-FEATURE]`, or features alone. Raises UsageError, which says what there is.

    A model that is named has the features that its CPUs had, as far as they can be had; features alone change
    the default CPU.
    """
    words = [word.strip().lower() for word in text.split(",")]
    cpu = DEFAULT_CPU
    if words[0][:1] not in ("+", "-"):
        name = words.pop(0)
        if name not in MODELS:
            raise UsageError(f"--cpu {name or text!r}: there is {', '.join(MODELS)}, and +FEATURE, -FEATURE")
        cpu = VirtualCpu(MODELS[name], MODELS[name].features)
    had = set(cpu.features)
    for word in words:
        sign, name = word[:1], word[1:].replace("_", "-")
        if sign not in ("+", "-"):
            raise UsageError(f"--cpu {text}: {word!r} is not +FEATURE or -FEATURE")
        _check_feature(cpu.model, sign, name)
        (had.add if sign == "+" else had.discard)(name)
    return VirtualCpu(cpu.model, frozenset(had))


def _check_feature(model: CpuModel, sign: str, name: str) -> None:
    """Is it one of those that can be had or not? `-` of what is not there in any case is no mistake."""
    if name in FEATURES:
        if sign == "+" and name not in model.features:
            raise UsageError(f"--cpu +{name}: a {model.name} has no {name}; {_models_with(name)} has")
    elif name not in REFUSED:
        raise UsageError(f"--cpu {sign}{name}: there is {', '.join(FEATURES)}")
    elif sign == "+":
        raise UsageError(f"--cpu +{name}: cannot be had here: {REFUSED[name]}")


def _models_with(name: str) -> str:
    return " or ".join(model.name for model in MODELS.values() if name in model.features)
