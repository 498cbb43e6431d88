# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The App Container specification 0.8.11 as data and rules; no input or output."""
