# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# Note that this doc fragment is PRIVATE to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!
"""The options that several modules share; the counterpart of module_utils/_ansible/host.py."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragments: the default one has the paths of a host, INSECURE the named relaxations."""

    DOCUMENTATION = r"""
options:
  data_dir:
    description:
      - Directory of images, trees and pods.
    type: path
    default: /var/lib/rocket
  config_dir:
    description:
      - Directory of the local configuration, such as the trusted keys.
    type: path
    default: /etc/rocket
  system_config_dir:
    description:
      - Directory of the vendor's configuration. What O(config_dir) says wins over it.
    type: path
    default: /usr/lib/rocket
  actor:
    description:
      - Who acts, for the audit log of the host, such as a user or a job of the controller. It is written down as it is said here.
    type: str
    version_added: 1.1.0
"""

    INSECURE = r"""
options:
  insecure_options:
    description:
      - Safety rules to leave out, by name.
      - V(image) takes an image without a signature by a trusted key, and runs it.
      - V(http) allows unencrypted transport.
      - V(audit) goes on where the audit log cannot be written, with a warning.
      - The name and the labels of an image are always checked.
    type: list
    elements: str
    choices: [image, http, audit]
    default: []
"""
