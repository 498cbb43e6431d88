# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# Note that this module util is PRIVATE to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!
"""Where the tools are put together for modules about pods: the store, today's trust, and what starts pods on this host."""

from __future__ import annotations

import typing as t

from .._rocket import platform
from .._rocket.host import entry, install, systemd
from .._rocket.host.leftovers import cgroups
from .._rocket.run.ensure import Means
from .._rocket.run.starter import DetachedStarter, Starter
from .._rocket.spec.lock import Lock
from .._rocket.store.locked import LockedImages
from .._rocket.store.store import Store
from .._rocket.trust.standing import standing
from .host import paths_of

if t.TYPE_CHECKING:
    from .._rocket.paths import Paths
    from .._rocket.run.reify import Images


def starter_for(paths: Paths, libexec_dir: str | None, insecure: list[str]) -> Starter:
    """Return what starts pods on this host: systemd where it is the init, the installed runtime by itself elsewhere."""
    root = libexec_dir or install.default_places()[0]
    if systemd.is_running():
        return systemd.SystemdStarter(paths, root, insecure=insecure)
    return DetachedStarter(paths, entry.program(root, paths, insecure))


def images_for(store: Store, lock: dict[str, t.Any] | None) -> Images:
    """Return the images of the store, as a lock lets them be seen where there is one."""
    if lock is None:
        return store
    return LockedImages(store, Lock.from_json(lock, "lock"), platform.host())


def means_for(parameters: dict[str, t.Any]) -> Means:
    """Return what applying a plan needs on this host."""
    paths = paths_of(parameters)
    return Means(
        store=Store(paths),
        starter=starter_for(paths, parameters["libexec_dir"], parameters["insecure_options"]),
        standing=standing(paths, parameters["insecure_options"]),
        release=cgroups(paths),
    )
