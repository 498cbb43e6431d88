# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Root file systems for those who fetch in order to run: planned with the images, and there when the fetch ends.

What arrives as one archive is unpacked in the pass that verifies it (store/staged_tree.py); here is the rest: images that were
in the store already, that depend on others, or were made of OCI images.
"""

from __future__ import annotations

from ..plan import Plan, Step
from ..record import replace
from ..store.dependencies import recorded, tree_id
from ..store.locked import LockedImages
from ..store.trees import complete

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..store.record import ImageRecord
    from ..store.store import Store
    from .fetched import Fetched
    from .options import FetchOptions


def plan_trees(store: Store, options: FetchOptions, plan: Plan) -> Plan:
    """Return the plan of a fetch with the steps that render what is in the store and was not rendered; raises StoreError.

    A plan that fetches stays as it is: what is fetched is rendered too.
    """
    if plan.changed or not options.render:
        return plan
    ids = plan.before.get("images") or [plan.before["image_id"]]
    steps = tuple(
        Step("render", image_id, "no root file system of it is there") for image_id in ids if not _is_rendered(store, options, image_id)
    )
    return replace(plan, steps=steps, after={**plan.after, "rendered": True}) if steps else plan


def render(store: Store, options: FetchOptions, fetched: Fetched) -> Fetched:
    """Return what was fetched, its root file system made where it is missing and wanted.

    Raises:
        StoreError, ArchiveError: it cannot be made on this host; the image stays in the store.
    """
    if options.render:
        for each in fetched.named or (fetched,):
            store.tree(each.record.id, _made_of(store, options, each.record))
    return fetched


def _made_of(store: Store, options: FetchOptions, record: ImageRecord) -> tuple[str, ...]:
    if options.lock is None:
        return store.made_of(record)
    return LockedImages(store, options.lock, options.host).made_of(record)


def _is_rendered(store: Store, options: FetchOptions, image_id: str) -> bool:
    visits = recorded(store, _made_of(store, options, store.find_id(image_id)))
    return complete(f"{store.paths.trees}/{tree_id(visits)}")
