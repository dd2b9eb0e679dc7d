# SPDX-License-Identifier: GPL-2.0-or-later
"""The tests of pvisor; the folders mirror the package's. A package too, so that helpers can be imported."""
