# SPDX-License-Identifier: GPL-2.0-or-later
"""What executes guest instructions: the exit, the Vcpu protocol, and Unicorn behind it.

exits.py           why a vCPU came back: begin here
vcpu.py            what any engine offers
engine_start.py    the libraries, and the self-test that Unicorn has to pass
unicorn_engine.py  the engine: Unicorn, with the C shim under shim/
decode.py          x86 decoding for emulation (capstone)
features.py        the real CPU's fixed bits, and the CPUID that agrees with them
"""
