# SPDX-License-Identifier: GPL-2.0-or-later
"""The rows of the hypercalls, one module an area. `calls.py` gathers them."""
