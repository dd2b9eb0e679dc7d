# SPDX-License-Identifier: GPL-2.0-or-later
"""Prints the ABI table: each module turns an `Abi` into the text of one file, and touches no file itself."""
