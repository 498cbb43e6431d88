# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# Note that this module util is PRIVATE to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!
"""Options that several modules share; the counterpart of doc_fragments/_host.py."""

from __future__ import annotations

import typing as t

from .._rocket.paths import Paths

INSECURE_OPTIONS = ("image", "http", "audit")


def host_options() -> dict[str, t.Any]:
    """Return the argument spec of the paths of a host."""
    return {
        "data_dir": {"type": "path", "default": "/var/lib/rocket"},
        "config_dir": {"type": "path", "default": "/etc/rocket"},
        "system_config_dir": {"type": "path", "default": "/usr/lib/rocket"},
        "actor": {"type": "str"},
    }


def insecure_options() -> dict[str, t.Any]:
    """Return the argument spec of the named relaxations."""
    return {"insecure_options": {"type": "list", "elements": "str", "choices": list(INSECURE_OPTIONS), "default": []}}


def paths_of(parameters: dict[str, t.Any]) -> Paths:
    """Return the paths that a module was given."""
    return Paths(
        data=parameters["data_dir"],
        local=parameters["config_dir"],
        system=parameters["system_config_dir"],
    )
