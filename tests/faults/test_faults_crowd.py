# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Fifty processes that want the same image: one download, one blob, and one who takes over where the first is killed."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from fetch_site import archive, random_bytes
from ranged_content import Ranged

import _rocket
from _rocket.store.collect import plan_gc

CROWD = 50
HERE = os.path.dirname(os.path.abspath(__file__))
SIZE = 300_000


@pytest.fixture
def crowd(site, authority, make_host):
    """Start a crowd that fetches into a new host; what is left of it in the end is killed."""
    started = []

    def start(references):
        host = make_host()
        wanted = {"data": host.paths.data, "ca_file": authority.file, "connect_to": site.connect_to()}
        package, corpus = os.path.dirname(_rocket.__path__[0]), os.path.join(os.path.dirname(HERE), "corpus")
        words = [sys.executable, f"{HERE}/crowd.py", package, corpus, json.dumps(wanted)]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        started.append(process)
        process.stdin.write("\n".join(references).encode())
        process.stdin.close()
        return process, host

    yield start
    for process in started:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.stdout.close()
        process.wait()


def ended(process, seconds=30):
    """Return what each process of a crowd said."""
    watch = threading.Timer(seconds, os.killpg, (process.pid, signal.SIGKILL))
    watch.start()
    try:
        return [json.loads(line) for line in process.stdout]
    finally:
        watch.cancel()


def assert_one_image(host, told, count):
    """All have the same image, it is whole, and nothing else was left."""
    assert [each for each in told if "error" in each] == []
    assert len(told) == count and len({each["id"] for each in told}) == 1
    image_id = told[0]["id"]
    assert len(host.store.ids()) == 2, "the one that was there, and this one"
    host.store.verify(image_id)
    assert os.listdir(host.paths.staging) == os.listdir(host.paths.garbage) == []
    assert not plan_gc(host.store, host.store.ids(), 0).changed


def test_of_one_reference_there_is_one_download(site, crowd):
    site.publish(archive(name="example.com/app", files={"rootfs/x": random_bytes(SIZE)}))
    process, host = crowd(["example.com/app:1.0"] * CROWD)
    assert_one_image(host, ended(process), CROWD)
    assert process.wait() == 0
    assert site.asked().count("/images/app.aci") == site.asked().count("/images/app.aci.asc") == 1


def test_ten_references_of_one_image_make_one_image(site, crowd):
    """Nobody can know before that they mean the same file: each reference is asked for once, however many want it."""
    labels = {"version": "1.0", "channel": "stable", "tier": "web", "team": "shop"}
    site.publish(archive(name="example.com/app", labels=tuple(labels.items()), files={"rootfs/x": random_bytes(SIZE)}))
    chosen = [names for count in range(4) for names in itertools.combinations(labels, count)][:10]
    references = [",".join(("example.com/app", *(f"{name}={labels[name]}" for name in names))) for names in chosen]
    assert len(set(references)) == 10
    process, host = crowd(references * 5)
    assert_one_image(host, ended(process), CROWD)
    assert 1 <= site.asked().count("/images/app.aci") <= 10


class Stopping(Ranged):
    """Sends half of the content to the first who asks, and waits until that one has hung up."""

    def __init__(self, content):
        super().__init__(content)
        self.half, self.over = threading.Event(), threading.Event()

    def send(self, request, head, body, start):
        if self.half.is_set():
            super().send(request, head, body, start)
            return
        request.wfile.write(head + b"ETag: %s\r\nContent-Length: %d\r\n\r\n" % (self.tag.encode(), len(body)))
        request.wfile.write(body[: len(body) // 2])
        request.wfile.flush()
        self.served.append((start, len(body) // 2))
        self.half.set()
        self.over.wait(20)


def holder(path):
    """Return the process that has a file of this directory open."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if any(os.readlink(f"/proc/{pid}/fd/{fd}").startswith(f"{path}/") for fd in os.listdir(f"/proc/{pid}/fd")):
                return int(pid)
        except OSError:
            continue
    return 0


def written(host):
    """Return how many bytes of a download there are in staging."""
    for name in os.listdir(host.paths.staging):
        try:
            return os.stat(f"{host.paths.staging}/{name}/aci").st_size
        except OSError:
            continue
    return 0


def test_when_the_first_is_killed_in_the_middle_another_takes_over(site, crowd):
    data = archive(name="example.com/app", files={"rootfs/x": random_bytes(SIZE)})
    site.publish(data)
    site.pages["/images/app.aci"] = page = Stopping(data)
    process, host = crowd(["example.com/app:1.0"] * CROWD)
    assert page.half.wait(20)
    deadline = time.monotonic() + 20
    while written(host) < len(data) // 4 and time.monotonic() < deadline:
        os.sched_yield()
    os.kill(holder(host.paths.staging), signal.SIGKILL)
    page.over.set()
    assert_one_image(host, ended(process), CROWD - 1)
    assert process.wait() == 1
    assert len(page.served) == 2
    (first, count), (second, _rest) = page.served
    assert first == 0 < len(data) // 4 <= second <= count, "it goes on where the first one was"
