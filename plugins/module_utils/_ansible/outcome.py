# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# Note that this module util is PRIVATE to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!
"""How a module ends: with what the plan says, or with an error that an operator can act on."""

from __future__ import annotations

import typing as t

from .._rocket.audit.actor import Actor, act_as
from .._rocket.audit.log import read_head
from .._rocket.errors import RocketError, StoreError
from .._rocket.plan import Plan
from .host import paths_of

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def finish(module: AnsibleModule, plan: Plan, **results: t.Any) -> t.NoReturn:
    """Exit with changed, diff and plan as `plan` has them, and with `results`."""
    diff = {"diff": plan.to_diff()} if module._diff else {}  # pylint: disable=protected-access
    module.exit_json(changed=plan.changed, plan=plan.to_json(), **diff, **_audit(module), **results)


def _audit(module: AnsibleModule) -> dict[str, t.Any]:
    """Return where the audit log of the host ends, for the controller to keep."""
    if "data_dir" not in module.params:
        return {}
    try:
        return {"audit": read_head(paths_of(module.params)).to_json()}
    except StoreError as error:
        module.warn(str(error))
        return {}


def guarded(module: AnsibleModule, work: t.Callable[[AnsibleModule], t.NoReturn]) -> t.NoReturn:
    """Do the work of a module; a RocketError fails the task with one line and, for machines, its parts."""
    parameters = module.params
    insecure = tuple(sorted(parameters.get("insecure_options") or ()))
    name = module._name  # pylint: disable=protected-access
    act_as(Actor(name if "." in name else f"appc.rocket.{name}", parameters.get("actor") or "", insecure, module.warn))
    try:
        work(module)
    except RocketError as error:
        module.fail_json(msg=str(error), error=error.to_json())
