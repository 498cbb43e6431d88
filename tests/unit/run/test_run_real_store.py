# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A pod prepared from an image that was built, inspected, stored and rendered by the real parts."""

from __future__ import annotations

import os

from _rocket.image.build import build
from _rocket.image.check import inspect
from _rocket.image.limits import Limits
from _rocket.run.declaration import Declaration
from _rocket.run.ensure import Means, apply, observe, plan_pod
from _rocket.run.launch_record import decode
from _rocket.spec.image_manifest import ImageManifest
from _rocket.store.record import new_record
from _rocket.store.store import Store
from _rocket.store.verdict import Verdict


def stored(paths, tmp_path) -> Store:
    tree = tmp_path / "tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "bin" / "web").write_text("#!/bin/sh\n")
    manifest = {
        "acKind": "ImageManifest",
        "acVersion": "0.8.11",
        "name": "example.com/shop/web",
        "labels": [{"name": "version", "value": "1.0"}],
        "app": {"exec": ["/bin/web"], "user": "0", "group": "0", "mountPoints": [{"name": "data", "path": "/data"}]},
    }
    output = str(tmp_path / "web.aci")
    build(str(tree), ImageManifest.from_json(manifest), output)
    store = Store(paths)
    fd, staged = store.staging_file()
    with open(output, "rb") as source:
        os.write(fd, source.read())
    os.close(fd)
    inspection = inspect(staged, Limits())
    store.add(staged, new_record(inspection, Verdict("pinned"), output), inspection.manifest_bytes)
    return store


def test_from_an_archive_to_a_running_pod_and_a_second_run_that_changes_nothing(root, paths, tmp_path, starter):
    store = stored(paths, tmp_path)
    value = {"name": "shop", "apps": [{"name": "web", "image": "example.com/shop/web:1.0"}]}
    declaration = Declaration.from_json(value)
    observed = observe(paths, "shop", declaration, store)
    status = apply(plan_pod(declaration, observed, "running"), observed, Means(store, starter, lambda verdict, name: None))
    assert status.running
    with open(f"{paths.pods('run')}/{status.uuid}/launch", "rb") as file:
        launch = decode(file.read(), "launch")
    (app,) = launch["apps"]
    assert os.path.isfile(f"{app['tree']}/bin/web") and app["mounts"][0]["source"].endswith(f"run/{status.uuid}/volumes/web-data")
    assert os.path.isdir(app["mounts"][0]["source"])
    assert not plan_pod(declaration, observe(paths, "shop", declaration, store), "running").changed
