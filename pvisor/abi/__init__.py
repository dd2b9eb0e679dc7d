# SPDX-License-Identifier: GPL-2.0-or-later
"""The contract between a paravirtualized guest and pvisor, as data.

    calls.py      the hypercalls: begin here
    structs.py    what lies in memory for both sides
    constants.py, errnos.py, features.py
    model.py      the shapes of all these rows
    table.py      the rows in one value
    layout.py     structs as bytes, for the hypervisor's Python side
    emit/         prints rows as a C header, C wrappers, cffi declarations and the reference of hypercalls.md
    lock.py       keeps released numbers as they are

`python -m pvisor.abi` rewrites the printed files; `--check` says which of them are stale. Importing this
package costs next to nothing, and it imports nothing else of pvisor.
"""
