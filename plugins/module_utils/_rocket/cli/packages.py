# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Python packages of the host: the installed command starts without them (``-IS``), and only fetch and trust need some."""

from __future__ import annotations

import sys


def reach() -> None:
    """Make the interpreter's site-packages importable, as a start without ``-S`` would have; the user's own stay out of it."""
    if sys.flags.no_site and "site" not in sys.modules:
        import site

        site.main()
