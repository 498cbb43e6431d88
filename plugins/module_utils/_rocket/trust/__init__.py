# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Who may supply what: keys by prefix, OpenPGP verification, the standing of a stored verdict."""
