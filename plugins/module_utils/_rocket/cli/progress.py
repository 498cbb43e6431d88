# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""How far long work is, in one line of the terminal."""

from __future__ import annotations

import os
import sys

from . import output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_WIDTH = 40


def meter() -> Callable[[int, int], None] | None:
    """Return what shows bytes done, and of how many where that is not 0; None where standard error is no terminal."""
    if not os.isatty(2):
        return None
    shown = [""]

    def show(done: int, total: int) -> None:
        text = f"{output.size(done)} of {output.size(total)} ({100 * done // total} %)" if total else output.size(done)
        if text != shown[0]:
            shown[0] = text
            sys.stderr.write(f"\r{text:<{_WIDTH}}")
            sys.stderr.flush()

    return show


def clear() -> None:
    """Give the line of the terminal back."""
    sys.stderr.write("\r" + " " * _WIDTH + "\r")
    sys.stderr.flush()
