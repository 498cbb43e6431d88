# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Resource limits: cgroup v2 first, v1 where a host still has it."""
