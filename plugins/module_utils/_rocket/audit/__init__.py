# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The audit log: what was done on this host and what was refused, by whom, in lines that hang together."""
