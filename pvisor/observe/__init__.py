# SPDX-License-Identifier: GPL-2.0-or-later
"""What can be seen of a run from outside: counters, traces, comparisons, benchmarks."""
