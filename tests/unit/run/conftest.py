# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Images that need no archive, a store that only knows them, and a starter that starts nothing but a lock."""

from __future__ import annotations

import os

import pytest

from _rocket.errors import NotFound, PodError
from _rocket.run.pod_directory import PodDirectory
from _rocket.run.starter import Starter
from _rocket.spec.image_manifest import ImageManifest
from _rocket.spec.image_name import ImageName
from _rocket.store.record import ImageRecord
from _rocket.store.verdict import Verdict

APP = {"exec": ["/bin/web"], "user": "0", "group": "0"}


def image(name="example.com/web", digit="a", version="1.0", app="as usual", **members) -> ImageRecord:
    value = {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": name, **members}
    value["labels"] = [{"name": "version", "value": version}]
    if app is not None:
        value["app"] = APP if app == "as usual" else app
    manifest = ImageManifest.from_json(value)
    return ImageRecord(
        "sha512-" + digit * 128, name, (("version", version),), manifest, Verdict("pinned"), "file", "sha512-" + digit * 128, 1, 1
    )


class FakeStore:
    """What `run` uses of the store."""

    def __init__(self, paths, *images: ImageRecord) -> None:
        self.paths = paths
        self.records = list(images)
        self.rendered = []

    def resolve(self, text: str) -> ImageRecord:
        for record in self.records:
            if text == record.id or (not text.startswith("sha512-") and ImageName.parse(text).matches(record.manifest)):
                return record
        raise NotFound("no such image", where=text)

    find_id = resolve

    def made_of(self, record: ImageRecord) -> tuple[str, ...]:
        return (record.id,)

    def stands_on(self, tree: str) -> tuple[ImageRecord, ...]:
        return (self.resolve(tree),)

    def tree(self, image_id: str, made_of: tuple[str, ...] = ()) -> str:
        self.resolve(image_id)
        path = f"{self.paths.trees}/{image_id}/rootfs"
        os.makedirs(path, exist_ok=True)
        os.chmod(path, 0o751)
        self.rendered.append(image_id)
        return path


class FakeStarter(Starter):
    """A pod runs while this holds its lock; `refuse` has the digests' UUID count that does not come up."""

    def __init__(self, paths) -> None:
        self.paths = paths
        self.calls = []
        self.live = {}
        self.refusals = 0

    def start(self, name, uuid):
        self.calls.append(("start", uuid))
        if self.refusals:
            self.refusals -= 1
            raise PodError("exec /bin/web: no such file", where=name)
        pod = PodDirectory(self.paths, uuid).lock()
        pod.move("run")
        self.live[uuid] = pod

    def stop(self, name, uuid, timeout, force=False):
        self.calls.append(("stop", uuid))
        if uuid in self.live:
            self.live.pop(uuid).unlock()

    def drift(self, name, running):
        return ""

    def settle(self, name, running):
        self.calls.append(("settle", running))

    def forget(self, name):
        self.calls.append(("forget", name))

    def crash(self):
        for pod in self.live.values():
            pod.unlock()
        self.live.clear()


@pytest.fixture
def make_image():
    return image


@pytest.fixture
def make_store(paths):
    return lambda *images: FakeStore(paths, *(images or (image(),)))


@pytest.fixture
def starter(paths):
    fake = FakeStarter(paths)
    yield fake
    fake.crash()
