# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The options of pods and apps that ``run`` and ``prepare`` share."""

from __future__ import annotations

from .options import Option

MOUNT = Option("--mount", "mount a volume at a path of the app; before the first image: of every app", "volume=NAME,target=PATH", True)

POD = (
    Option("--pod-manifest", "run this pod manifest instead of images named here", "FILE"),
    Option("--lock", "take images as this lock file names them, and no others", "FILE"),
    Option("--pod-name", "a name for the pod and its host name; not one that is declared", "NAME"),
    Option("--net", "none (default): only a loopback; host: the host's network", "none|host"),
    Option("--volume", "a volume: kind=host,source=PATH or kind=empty, readOnly=true, mode=, uid=, gid=", "NAME,kind=KIND,...", True),
    MOUNT,
    Option("--set-env", "environment of every app; --environment is stronger", "NAME=VALUE", True),
    Option("--stop-timeout", "time between SIGTERM and SIGKILL (default 10s)", "TIME"),
    Option("--uuid-file-save", "write the pod's UUID to this file", "FILE"),
    Option("--quiet", "say nothing but results and errors"),
)

APP = (
    Option("--name", "name of the app (default: last part of the image's name)", "NAME"),
    Option("--exec", "run this program instead of the image's; its arguments follow --", "PATH"),
    Option("--user", "user name or number, or a path of the image", "USER"),
    Option("--group", "group name or number, or a path of the image", "GROUP"),
    Option("--supplementary-gids", "further group numbers", "GID,..."),
    Option("--working-dir", "directory to start in", "PATH"),
    Option("--environment", "environment of the app", "NAME=VALUE", True),
    MOUNT,
    Option("--memory", "limit of memory: 256Mi", "QUANTITY"),
    Option("--cpu", "limit of CPU: 500m is half a core", "QUANTITY"),
    Option("--caps-retain", "keep these capabilities alone", "CAP,..."),
    Option("--caps-remove", "remove these from the default capabilities", "CAP,..."),
    Option("--no-new-privileges", "whether setuid programs gain nothing (true unless the image says otherwise)"),
    Option("--readonly-rootfs", "make the root file system read-only"),
)

USAGE = "[pod options] IMAGE [app options] [-- ARGUMENT...] [--- IMAGE ...]"
