# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# Note that this module util is PRIVATE to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!
"""Options of modules that fetch; the counterpart of doc_fragments/_fetch.py."""

from __future__ import annotations

import typing as t

from .._rocket.fetch.options import FetchOptions, parse_connection, parse_token_server
from .host import paths_of

if t.TYPE_CHECKING:
    from .._rocket.spec.lock import Lock


def fetch_options() -> dict[str, t.Any]:
    """Return the argument spec of how to reach the sources of images."""
    return {
        "ca_file": {"type": "path"},
        "proxy": {"type": "str"},
        # Names of hosts, and no secret.
        "token_servers": {"type": "list", "elements": "str", "default": [], "no_log": False},
        "connect_to": {"type": "list", "elements": "str", "default": []},
    }


def fetch_options_of(parameters: dict[str, t.Any], **changes: t.Any) -> FetchOptions:
    """Return the options of a fetch that a module was given, and what it says itself."""
    return FetchOptions(
        insecure=tuple(sorted(parameters["insecure_options"])),
        ca_file=parameters["ca_file"] or "",
        layers=paths_of(parameters).layers,
        proxy=parameters["proxy"] or "",
        connect_to=tuple(map(parse_connection, parameters["connect_to"])),
        token_servers=tuple(map(parse_token_server, parameters["token_servers"])),
        **changes,
    )


def read_lock(value: dict[str, t.Any]) -> Lock:
    """Return the lock that a module was given; raises SpecError."""
    from .._rocket.spec.lock import Lock

    return Lock.from_json(value, "lock")
