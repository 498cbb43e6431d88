# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""An image manifest and a pod manifest with every member of the specification, and what changes one of them."""

from __future__ import annotations

import json

ID = "sha512-" + "0" * 128
IMAGE = {
    "acKind": "ImageManifest",
    "acVersion": "0.8.9",
    "name": "example.com/app",
    "labels": [{"name": "version", "value": "1"}, {"name": "os", "value": "linux"}, {"name": "arch", "value": "amd64", "more": 1}],
    "app": {
        "exec": ["/bin/app", "", "-v"],
        "user": "web",
        "group": "/etc/passwd",
        "supplementaryGIDs": [1, 2],
        "eventHandlers": [{"name": "pre-start", "exec": ["/a"]}, {"name": "post-stop", "exec": ["/b", "c"]}],
        "workingDirectory": "/srv",
        "environment": [{"name": "A", "value": ""}, {"name": "B", "value": "$A"}],
        "isolators": [{"name": "resource/memory", "value": {"limit": "1G", "more": [1]}}],
        "mountPoints": [{"name": "data", "path": "/data", "readOnly": True}, {"name": "log", "path": "/log", "more": {}}],
        "ports": [{"name": "www", "protocol": "tcp", "port": 80, "count": 2, "socketActivated": True}],
        "userAnnotations": {"any key": "x"},
        "userLabels": {"tier": "web"},
        "more": {"deep": [1, "x"]},
    },
    "dependencies": [{"imageName": "example.com/base", "imageID": ID, "labels": [{"name": "os", "value": "linux"}], "size": 7}],
    "pathWhitelist": ["/etc", "/usr"],
    "annotations": [{"name": "created", "value": "2026-01-31T12:00:00Z"}, {"name": "appc.rocket/x", "value": ""}],
    "more": [True, 2],
}
WWW = {"name": "www", "protocol": "tcp", "port": 80}
APP = {"user": "0", "group": "0", "ports": [WWW], "mountPoints": [{"name": "d", "path": "/data"}]}
POD = {
    "acKind": "PodManifest",
    "acVersion": "0.8.11",
    "apps": [
        {
            "name": "web",
            "image": {"id": ID, "name": "example.com/web", "labels": [{"name": "version", "value": "1"}], "more": 1},
            "app": APP,
            "readOnlyRootFS": True,
            "mounts": [
                {"volume": "data", "path": "/data", "more": 1},
                {"volume": "own", "path": "/own", "appVolume": {"name": "own", "kind": "empty", "mode": "1777"}},
            ],
            "annotations": [{"name": "appc.rocket/x", "value": "y"}],
            "more": [1],
        },
        {"name": "side", "image": {"id": ID}},
    ],
    "volumes": [
        {"name": "data", "kind": "host", "source": "/srv/data", "readOnly": True, "recursive": False},
        {"name": "tmp", "kind": "empty", "mode": "0700", "uid": 1, "gid": 2, "more": 1},
    ],
    "isolators": [{"name": "resource/memory", "value": {"limit": "4G"}}],
    "annotations": [{"name": "appc.rocket/restart", "value": "always"}],
    "ports": [
        {"name": "www", "hostPort": 8080, "hostIP": "203.0.113.23"},
        {"name": "raw", "hostPort": 9000, "podPort": {"name": "raw", "protocol": "udp", "port": 9, "count": 2}, "more": 1},
    ],
    "userAnnotations": {"any key": "x"},
    "userLabels": {"tier": "web"},
    "more": {"x": 1},
}


def changed(manifest, path, value):
    """Return `manifest` with the member at `path`, names and numbers joined by dots, set to `value`."""
    manifest = json.loads(json.dumps(manifest))
    *parents, last = path.split(".")
    node = manifest
    for part in parents:
        node = node[int(part)] if part.isdigit() else node[part]
    node[int(last) if last.isdigit() else last] = value
    return manifest
