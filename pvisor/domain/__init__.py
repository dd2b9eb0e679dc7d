# SPDX-License-Identifier: GPL-2.0-or-later
"""What handlers need of the world: the domain they serve, and what they may decide."""
