# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""SIGKILL at every call that changes the store: of fetches, of garbage collection and of the removal of an image.

After each one the store is clean and every name in it whole; the same command repeated succeeds; garbage collection leaves
nothing of it. `make soak` tries every point; `make test` one in EVERY.
"""

from __future__ import annotations

import json
import os
import shutil

import oci_images
import pytest
from fetch_site import archive, random_bytes
from kill_points import DONE, killed_at, points

from _rocket.cli.main import main
from _rocket.host import garbage
from _rocket.record import replace
from _rocket.run.collect import Grace
from _rocket.run.launch_record import VERSION, encode
from _rocket.run.pod_directory import PodDirectory
from _rocket.store.store import Store
from _rocket.store.watermarks import Watermarks

EVERY = int(os.environ.get("ROCKET_KILL_EVERY", "8"))
NAME = "example.com/top:1.0"


class Scenario:
    """One kind of work on one kind of store.

    Attributes:
        host: the host as it is before the work; copied for each point.
        work: does it, given a host.
        always: IDs of images that have to be there at each moment.
        least: how many points there are at the least.
    """

    def __init__(self, host, work, always, least) -> None:
        self.host = host
        self.work = work
        self.always = always
        self.least = least


@pytest.fixture
def published(site):
    """Serve an image and what it depends on, both signed, and return a function that serves another build of it."""

    def publish(content):
        for name, members in (("base", {}), ("top", {"dependencies": [{"imageName": "example.com/base"}]})):
            files = {"rootfs/etc": None, f"rootfs/etc/{name}": content, "rootfs/etc/large": random_bytes(70_000)}
            site.publish(archive(name=f"example.com/{name}", files=files, **members), f"example.com/{name}", f"/images/{name}.aci")

    publish(b"first")
    return publish


def fetching(host, **changes):
    return host.fetcher(**changes).fetch(NAME).id


def a_new_image(make_host, published, **_more):
    host = make_host()
    return Scenario(host, fetching, host.store.ids(), 40)


def a_new_image_with_its_root_file_system(make_host, published, **_more):
    host = make_host()
    return Scenario(host, lambda host: fetching(host, render=True), host.store.ids(), 80)


def an_image_that_is_unchanged(make_host, published, **_more):
    host = make_host(pull_policy="update")
    fetching(host)
    return Scenario(host, fetching, host.store.ids(), 4)


def an_image_that_changed(make_host, published, **_more):
    host = make_host(pull_policy="update")
    fetching(host)
    published(b"second")
    return Scenario(host, fetching, host.store.ids(), 25)


def an_image_that_gets_a_signature(make_host, published, **_more):
    host = make_host()
    fetching(host, insecure=("image",))
    return Scenario(host, fetching, host.store.ids(), 40)


def an_oci_layout(make_host, tmp_path, **_more):
    import io
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo("data")
        entry.size = 70_000
        tar.addfile(entry, io.BytesIO(random_bytes(70_000)))
    image = oci_images.Image(buffer.getvalue(), config={"Entrypoint": ["/data"]})
    place = oci_images.layout(tmp_path / "layout", {"web": image})
    host = make_host()
    return Scenario(host, lambda host: host.fetcher().fetch(f"oci:{place}:web@{image.digest}").id, host.store.ids(), 20)


def a_root_file_system(make_host, published, **_more):
    host = make_host()
    top = fetching(host)

    def work(host):
        host.store.tree(top)
        return top

    return Scenario(host, work, host.store.ids(), 25)


def a_collection_down_to_a_mark(make_host, published, **_more):
    host = make_host()
    top = fetching(host)
    host.store.tree(top)
    host.store.tree(host.store.resolve("example.com/old").id)
    used = host.store.resolve("example.com/base").id
    pod = PodDirectory.create(host.paths)
    with open(f"{pod.location}/launch", "wb") as file:
        app = {"name": "web", "image_id": used, "tree": f"{host.paths.trees}/{used}/rootfs"}
        file.write(encode({"version": VERSION, "apps": [app]}))
    pod.move("prepared")
    pod.unlock()
    os.mkdir(f"{host.paths.staging}/dead")

    def work(host):
        wanted = garbage.Wanted(Grace(), 10**9, Watermarks(2, 1))
        garbage.collect(garbage.plan(host.paths, wanted), host.paths)
        assert host.store.ids() == [used] == os.listdir(host.paths.trees)
        return used

    return Scenario(host, work, [used], 25)


def a_removal(make_host, published, **_more):
    host = make_host()
    top = fetching(host)
    host.store.tree(host.store.resolve("example.com/old").id)
    base = host.store.resolve("example.com/base").id

    def work(host):
        # What is gone already is what was wanted.
        status = main([f"--dir={host.paths.data}", "image", "rm", "example.com/old"])
        assert status == 0 or [record.name for record in host.store.images()] == ["example.com/base", "example.com/top"]
        return top

    return Scenario(host, work, [top, base], 8)


SCENARIOS = (
    *(a_new_image, an_image_that_is_unchanged, an_image_that_changed, an_image_that_gets_a_signature, an_oci_layout),
    *(a_new_image_with_its_root_file_system, a_root_file_system, a_collection_down_to_a_mark, a_removal),
)


def copy_of(host, directory):
    """Return a host whose store is a copy of this one's, with its hard links and times."""
    shutil.rmtree(directory, ignore_errors=True)
    paths = replace(host.paths, data=f"{directory}/data")
    os.mkdir(directory)
    links: dict[int, str] = {}

    def copy(source, target):
        found = os.lstat(source)
        if found.st_ino in links:
            os.link(links[found.st_ino], target)
            return
        links[found.st_ino] = target
        shutil.copy2(source, target, follow_symlinks=False)

    shutil.copytree(host.paths.data, paths.data, symlinks=True, copy_function=copy)
    for path in (paths.images, paths.trees, paths.staging):
        os.chmod(path, 0o700)
    return type(host)(paths, host._options)


def assert_clean(host, always, capsys):
    """Nothing that has a name is less than whole."""
    assert main([f"--dir={host.paths.data}", "image", "verify", "--all"]) == 0, capsys.readouterr()
    capsys.readouterr()
    store = Store(host.paths)
    assert set(always) <= set(store.ids()), "an image was gone for a moment"
    for record in store.images():
        assert store.made_of(record), "an image entered before what it depends on"
    for name in os.listdir(host.paths.trees):
        assert sorted(os.listdir(f"{host.paths.trees}/{name}")) == ["listing", "record.json", "rootfs"]
    for directory in (host.paths.images, f"{host.paths.blobs}/sha256"):
        for name in os.listdir(directory) if os.path.isdir(directory) else ():
            assert len(name.removeprefix("sha512-")) in (64, 128)


def assert_collected(host, capsys):
    """Garbage collection without grace leaves nothing but what a pod uses."""
    words = ["gc", "--grace-period=0", "--image-grace=0", "--format=json"]
    assert main([f"--dir={host.paths.data}", *words]) == 0, capsys.readouterr()
    capsys.readouterr()
    for path in (host.paths.staging, host.paths.garbage):
        assert os.listdir(path) == []
    assert set(os.listdir(host.paths.locks)) <= {"prepare", "gc"}
    assert main([f"--dir={host.paths.data}", *words]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == []


@pytest.mark.parametrize("number", range(len(SCENARIOS)), ids=[scenario.__name__ for scenario in SCENARIOS])
def test_killed_anywhere(number, make_host, site, published, tmp_path, capsys):
    scenario = SCENARIOS[number](make_host=make_host, published=published, tmp_path=tmp_path)
    whole = copy_of(scenario.host, f"{tmp_path}/whole")
    expected = scenario.work(whole)
    tried = calls = 0
    for at in points(EVERY, number):
        host = copy_of(scenario.host, f"{tmp_path}/copy")
        status, calls = killed_at(at, lambda host=host: scenario.work(host))
        if status == DONE:
            break
        tried += 1
        assert_clean(host, scenario.always, capsys)
        assert scenario.work(host) == expected, f"call {at}: the command repeated ends in another way"
        capsys.readouterr()
        assert_clean(host, scenario.always, capsys)
        assert_collected(host, capsys)
    assert calls >= scenario.least, f"{calls} calls: hardly anything was counted"
    # How many calls there are depends on how the network cuts what comes.
    assert tried >= (calls - 10) // EVERY
    with open(os.environ.get("ROCKET_KILL_LOG", os.devnull), "a") as log:
        log.write(f"{SCENARIOS[number].__name__}: killed at {tried} of {calls} calls\n")
