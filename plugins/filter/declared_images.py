# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible filter: the images that declarations name."""

from __future__ import annotations

DOCUMENTATION = r"""
name: declared_images
short_description: The images that declared pods name
version_added: 1.1.0
description:
  - Returns the reference of each image that a list of declarations names, in normal form and each once. Pods that are to be absent name
    none. What is declared by its image ID is among them.
author:
  - The appc.rocket contributors (@appc-rocket)
options:
  _input:
    description: Declarations as the role P(appc.rocket.pods#role) takes them.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what will be fetched
  ansible.builtin.debug:
    msg: "{{ rocket_pods | appc.rocket.declared_images }}"
"""

RETURN = r"""
_value:
  description: The references.
  type: list
  elements: str
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ..module_utils._rocket.errors import RocketError
from ..module_utils._rocket.run.declared_images import declared_images as find


def declared_images(pods: t.Any) -> list[str]:
    """Return the references; an error names the place in the declarations."""
    try:
        return list(find(pods))
    except RocketError as error:
        raise AnsibleFilterError(f"declared_images: {error}") from error


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[[t.Any], list[str]]]:
        """Return them by name."""
        return {"declared_images": declared_images}
