# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The product of appc.rocket: App Containers fetched, trusted and run. It knows nothing of Ansible.

Private to this collection: no other code may import it.
"""
