# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""OpenPGP as far as a detached signature and the key that made it: a strict parser, verify only."""
