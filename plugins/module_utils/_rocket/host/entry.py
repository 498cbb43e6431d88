# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""How the installed runtime starts: the text of its launcher, kept here as a literal because only ``.py`` files are shipped.

Root's launcher holds a shared lock on ``lock`` in its runtime's directory until it ends. Another user does not (the file is root's,
else any user could keep root from starting pods), and a long command of theirs may lose its runtime to a collection.
"""

from __future__ import annotations

LOCK = "lock"

TEXT = """import fcntl, os, sys
here = os.path.dirname(os.path.realpath(__file__))
if os.geteuid() == os.stat(here).st_uid:
    held = os.open(here + "/lock", os.O_RDONLY | os.O_CLOEXEC)
    fcntl.flock(held, fcntl.LOCK_SH)
    if not os.fstat(held).st_nlink:  # collected while we started: begin again with the current one
        os.execv(sys.executable, [sys.executable, "-IS"] + sys.argv)
sys.path.insert(0, here)
sys.dont_write_bytecode = True
from _rocket.cli.main import main
raise SystemExit(main(sys.argv[1:]))
"""
