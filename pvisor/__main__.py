# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m pvisor`: the same as the command `pvisor`."""

import sys

from pvisor.cli import main

if __name__ == "__main__":
    sys.exit(main())
