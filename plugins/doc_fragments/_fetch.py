# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# Note that this doc fragment is PRIVATE to the collection. It can have breaking changes at any time.
# Do not use this from other collections or standalone plugins/modules!
"""The options of modules that fetch; the counterpart of module_utils/_ansible/fetching.py."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragment: how to reach the sources of images."""

    DOCUMENTATION = r"""
options:
  ca_file:
    description:
      - File on the host with the certificate authorities to trust, in place of the host's own and of those configured for a domain.
    type: path
  proxy:
    description:
      - URL of the proxy to go through, C(http://host:port) or C(https://host:port), in place of the configured one; V(none) for none.
        The environment names none.
      - Its user and password do not belong here but into a file of C(auth.d) on the host.
    type: str
  token_servers:
    description:
      - Where a registry may send for tokens beside itself, as C(registry=host) or C(registry=host:port).
    type: list
    elements: str
    default: []
    version_added: 1.1.0
  connect_to:
    description:
      - Where to connect to for a host, as C(host=address:port). The certificate is still checked against the host.
    type: list
    elements: str
    default: []
"""
