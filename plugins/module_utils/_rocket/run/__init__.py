# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""From a declaration to running apps: reify, prepare, launch, supervise, collect."""
