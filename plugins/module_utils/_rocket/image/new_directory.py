# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A directory that appears under its name complete or not at all."""

from __future__ import annotations

import os

from ..errors import UsageError
from .remove import remove_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType


class NewDirectory:
    """Work on a directory beside `path`; publish() gives one in it the name, leaving the ``with`` block removes the rest.

    Args:
        path: where it will appear.
        overwrite: whether what is there is removed first; an empty directory always gives way.

    Attributes:
        path: the directory to work in, of mode 0700.

    Raises:
        UsageError: something is in the way.
        OSError: the directory above cannot be written.
    """

    def __init__(self, path: str, overwrite: bool) -> None:
        self._target = os.path.abspath(path)
        self._overwrite = overwrite
        self._check()
        above, name = os.path.split(self._target)
        self.path = os.path.join(above, f".{name[:200]}.{os.urandom(8).hex()}")
        os.mkdir(self.path, 0o700)

    def __enter__(self) -> NewDirectory:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        remove_tree(self.path)

    def publish(self, name: str) -> None:
        """Give the directory `name` of the work directory the name that was wanted.

        Raises:
            UsageError: something came in the way meanwhile.
            StoreError: what was there cannot be removed.
            OSError: the file system refuses.
        """
        self._check()
        if os.path.lexists(self._target):
            os.rename(self._target, f"{self.path}/.before")
        os.rename(f"{self.path}/{name}", self._target)

    def _check(self) -> None:
        if os.path.isdir(self._target) and not os.path.islink(self._target) and not os.listdir(self._target):
            return
        if os.path.lexists(self._target) and not self._overwrite:
            raise UsageError("exists and is not empty", where=self._target, hint="name another directory, or allow overwriting")
