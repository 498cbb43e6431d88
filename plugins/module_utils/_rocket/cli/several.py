# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The same action on several words of a command line: one that fails does not keep the others from it."""

from __future__ import annotations

from ..errors import PodError, RocketError
from . import output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def each(words: Sequence[str], act: Callable[[str], None]) -> int:
    """Carry out `act` for each word; where only one is given its error is raised as it is.

    Raises:
        RocketError: the only word failed.
        PodError: some of several failed; each was told on standard error before.
    """
    if len(words) == 1:
        act(words[0])
        return 0
    failed = []
    for word in words:
        try:
            act(word)
        except RocketError as error:
            output.note(str(error))
            failed.append(word)
    if failed:
        raise PodError(f"{len(failed)} of {len(words)} failed: {', '.join(failed)}", hint="the lines above say why", code="several")
    return 0
