# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Writing the audit log: on the disk before it counts, whole after any crash, refused where it cannot be."""

from __future__ import annotations

import errno
import io
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from _rocket.audit import actor, chain, line, log, segments
from _rocket.errors import Busy, FetchError, StoreError, TrustError, UsageError


@pytest.fixture
def acting():
    """Set who acts for one test."""
    before = actor.actor()
    yield actor.act_as
    actor.act_as(before)


def written(paths):
    """Return the events of the log, which has to be intact."""
    report = chain.verify(chain.files(paths))
    assert report.intact, report.problems
    return list(chain.events(chain.files(paths)))


def test_an_event_says_what_who_when_and_hangs_on_the_one_before(paths, acting):
    before = int(time.time())
    acting(actor.Actor("rocket fetch", "job 7 of alice", ("http", "image")))
    first = log.record(paths, "fetch", "example.com/a", source="https://example.com/a.aci")
    second = log.record(paths, "run", "a pod", "refused", code="signer-unknown")
    with open(paths.audit_log, "rb") as source:
        lines = source.read().split(b"\n")
    assert lines[2:] == [b""] and (first.seq, second.seq) == (1, 2)
    one, two = map(json.loads, lines[:2])
    assert (one["action"], one["subject"], one["outcome"], one["facts"]) == (
        "fetch",
        "example.com/a",
        "allowed",
        {"source": "https://example.com/a.aci"},
    )
    assert one["by"]["uid"] == os.getuid() and one["by"]["via"] == "rocket fetch" and one["by"]["name"] == "job 7 of alice"
    assert one["insecure"] == ["http", "image"] and before <= one["time"] <= time.time()
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as source:
        assert one["boot"] == source.read().strip()
    assert one["prev"] == "" and two["prev"] == line.line_digest(lines[0]) == first.head
    assert (two["outcome"], two["facts"]) == ("refused", {"code": "signer-unknown"})
    assert log.read_head(paths) == second == line.Head(2, line.line_digest(lines[1]))


@pytest.mark.parametrize(("content", "login"), [(b"1000", 1000), (b"4294967295", None), (b"", None)])
def test_who_logged_in_is_on_record_whatever_they_became(paths, monkeypatch, content, login):
    monkeypatch.setattr(actor, "open", lambda path, mode: io.BytesIO(content), raising=False)
    log.record(paths, "fetch", "x")
    assert written(paths)[0]["by"].get("login") == login


def test_only_its_owner_can_read_or_write_it(paths):
    before = os.umask(0)
    try:
        log.record(paths, "fetch", "x")
    finally:
        os.umask(before)
    assert os.stat(paths.audit_log).st_mode & 0o777 == 0o600
    assert os.stat(paths.data).st_mode & 0o777 == 0o755


def test_texts_of_images_stay_texts(paths):
    """Whatever a name or fact holds, the line is one line, and its members are those that were meant."""
    hostile = 'a"},"seq":99,"prev":"","time":1}\n{"action":"trust","x\x1b[31m\udc80\U0001f600'
    for _turn in range(2):
        log.record(paths, "fetch", hostile, source=hostile, **{',"seq":7,"prev":"': hostile})
    with open(paths.audit_log, "rb") as source:
        assert source.read().count(b"\n") == 2
    assert [(event["seq"], event["subject"], event["facts"]["source"]) for event in written(paths)] == [
        (1, hostile, hostile),
        (2, hostile, hostile),
    ]


def test_what_is_long_is_cut_and_says_so(paths):
    log.record(
        paths, "fetch", "n" * 5000, labels={str(number): "v" * 5000 for number in range(500)}, deep=[[[[[["x"]]]]]], many=list(range(900))
    )
    log.record(paths, "fetch", "n", **{str(number): ["\U0001f600" * 600] * 60 for number in range(60)})
    first, second = written(paths)
    assert first["subject"].endswith("... (5000 characters)")
    assert first["facts"] == {"cut": first["facts"].get("cut")} or len(json.dumps(first["facts"])) < line.LIMIT
    assert "bytes of facts" in second["facts"]["cut"]
    with open(paths.audit_log, "rb") as source:
        assert all(len(text) <= line.LIMIT for text in source)


def test_what_is_long_is_cut_in_each_member(paths):
    log.record(paths, "fetch", "x", many=list(range(900)), text="t" * 700, deep={"a": {"b": {"c": {"d": "e"}}}})
    facts = written(paths)[0]["facts"]
    assert facts["many"] == [*range(64), "... (900 in all)"]
    assert facts["text"] == "t" * 600 + "... (700 characters)"
    assert facts["deep"] == {"a": {"b": {"c": "{'d': 'e'}"}}}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'{"action":"', b'{"actio":"'),
        (b',"time":', b',"tim":'),
        (b"}\n", b"\n"),
        (b"}\n", b"x}\n"),
        (b',"seq":', b',"se":'),
        (b',"seq":1,', b',"seq":x,'),
        (b',"seq":1,', b',"seq":1234567890123456,'),
        (b',"prev":"', b',"pre":"'),
    ],
)
def test_a_line_that_is_no_whole_event_is_none(paths, old, new):
    log.record(paths, "fetch", "x")
    with open(paths.audit_log, "rb") as source:
        text = source.read()
    assert line.seq_of(text[:-1]) == 1 and old in text
    assert line.seq_of(text.replace(old, new)[:-1]) == 0


def test_the_log_of_another_user_is_refused(root, paths):
    log.record(paths, "fetch", "x")
    os.chown(paths.audit_log, 1000, 1000)
    with pytest.raises(StoreError, match="this user alone"):
        log.record(paths, "fetch", "y")


@pytest.mark.parametrize("cut", [1, 5, 60, 200, -3, -2])
def test_a_line_that_a_crash_cut_short_stays_and_the_next_event_tells_of_it(paths, cut):
    for number in range(3):
        log.record(paths, "fetch", str(number))
    with open(paths.audit_log, "rb") as source:
        data = source.read()
    end = data.rfind(b"\n", 0, -1) + 1
    torn = data[end:][:cut]
    os.truncate(paths.audit_log, end + len(torn))
    assert chain.verify(chain.files(paths)).torn == len(torn)
    assert log.read_head(paths).seq == 2
    log.record(paths, "fetch", "after")
    events = written(paths)
    assert [event["action"] for event in events] == ["fetch", "fetch", "audit-repair", "fetch"]
    assert events[2]["facts"] == {"bytes": len(torn), "digest": line.line_digest(torn)}
    with open(paths.audit_log, "rb") as source:
        assert source.read().startswith(data[:end] + torn + b"\n")


def test_a_line_that_lacks_its_newline_alone_is_an_event(paths):
    head = [log.record(paths, "fetch", str(number)) for number in range(3)][-1]
    os.truncate(paths.audit_log, os.path.getsize(paths.audit_log) - 1)
    assert log.read_head(paths) == chain.verify(chain.files(paths)).last == head
    log.record(paths, "fetch", "3")
    assert [event["subject"] for event in written(paths)] == ["0", "1", "2", "3"]


def test_a_first_line_that_a_crash_cut_short(paths):
    os.mkdir(paths.data)
    with open(paths.audit_log, "wb") as target:
        target.write(b'{"action":"fe')
    os.chmod(paths.audit_log, 0o600)
    log.record(paths, "fetch", "after")
    assert [event["seq"] for event in written(paths)] == [1, 2]


def test_a_crash_in_the_middle_of_a_repair(paths):
    log.record(paths, "fetch", "one")
    for left in (b'{"action":"x', b"\n", b'\n{"action":"audit-repair","by"', b"\n\n"):
        with open(paths.audit_log, "ab") as target:
            target.write(left)
    log.record(paths, "fetch", "two")
    assert [event["action"] for event in written(paths)] == ["fetch", "audit-repair", "fetch"]


def _write_until_killed(paths, ready):
    ready.set()
    while True:
        log.record(paths, "run", "x" * 400)


def test_killed_at_any_moment_it_goes_on(paths):
    """At most one line is torn by each kill, and the chain holds through all of them."""
    context = multiprocessing.get_context("fork")
    for _turn in range(40):
        ready = context.Event()
        process = context.Process(target=_write_until_killed, args=(paths, ready))
        process.start()
        ready.wait(10)
        seen = log.read_head(paths).seq
        limit = time.monotonic() + 10
        while log.read_head(paths).seq < seen + 3 and time.monotonic() < limit:
            pass
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    log.record(paths, "run", "last")
    events = written(paths)
    assert events[-1]["subject"] == "last" and [event["seq"] for event in events] == list(range(1, len(events) + 1)) and len(events) > 120


def _write_some(paths, name, count):
    for number in range(count):
        log.record(paths, "run", f"{name} {number}")


def test_many_writers_at_once_leave_no_gap(paths, monkeypatch):
    monkeypatch.setattr(log, "ROTATE", 20000)
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_some, args=(paths, name, 20)) for name in range(50)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    events = written(paths)
    assert len(events) == 1000 and len({event["subject"] for event in events}) == 1000
    assert len(segments.segments(paths.audit_log)) > 10


@pytest.mark.parametrize("kind", ["link", "directory", "fifo", "writable"])
def test_what_is_no_file_of_its_owner_alone_is_refused(paths, tmp_path, kind):
    os.mkdir(paths.data)
    other = tmp_path / "other"
    other.write_bytes(b"")
    if kind == "link":
        os.symlink(other, paths.audit_log)
    elif kind == "directory":
        os.mkdir(paths.audit_log)
    elif kind == "fifo":
        os.mkfifo(paths.audit_log, 0o600)
    else:
        log.record(paths, "run", "x")
        os.chmod(paths.audit_log, 0o622)
    with pytest.raises(StoreError) as caught:
        log.record(paths, "fetch", "x")
    assert caught.value.where == paths.audit_log and caught.value.hint
    assert other.read_bytes() == b""


def test_a_damaged_end_stops_what_would_go_on_from_it(paths):
    os.mkdir(paths.data)
    with open(paths.audit_log, "wb") as target:
        target.write(b"nonsense\n" * 20000)
    os.chmod(paths.audit_log, 0o600)
    with pytest.raises(StoreError) as caught:
        log.record(paths, "fetch", "x")
    assert caught.value.code == "damaged" and "rocket audit verify" in caught.value.hint
    assert os.path.getsize(paths.audit_log) == 9 * 20000


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("call", ["write", "fdatasync"])
def test_what_cannot_be_written_down_is_refused_unless_that_is_allowed(paths, acting, monkeypatch, call, number):
    log.record(paths, "fetch", "before")

    def refuse(*_arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(log.os, call, refuse)
    with pytest.raises(StoreError) as caught:
        log.record(paths, "fetch", "x")
    full = number in (errno.ENOSPC, errno.EDQUOT)
    assert caught.value.code == ("disk-full" if full else "audit") and "--insecure-options=audit" in caught.value.hint
    told = []
    acting(actor.Actor(insecure=("audit",), tell=told.append))
    assert log.record(paths, "fetch", "example.com/x") == line.Head()
    assert len(told) == 1 and told[0].startswith("not in the audit log: fetch example.com/x: ")


def test_a_write_that_stops_short_is_refused_and_repaired(paths, monkeypatch):
    log.record(paths, "fetch", "before")
    real = os.write
    monkeypatch.setattr(log.os, "write", lambda fd, data: real(fd, data[:50]))
    with pytest.raises(StoreError, match="no space"):
        log.record(paths, "fetch", "x")
    monkeypatch.setattr(log.os, "write", real)
    log.record(paths, "fetch", "after")
    assert [event["subject"] for event in written(paths)] == ["before", "audit.log", "after"]


def test_on_a_full_disk_what_frees_space_can_be_written_down(root, tmp_path):
    """A small file system, filled to the last byte after the log began: further events fit into what was reserved."""
    place = tmp_path / "disk"
    place.mkdir()
    code = (
        "import ctypes, os, sys; sys.path.insert(0, sys.argv[2]); libc = ctypes.CDLL(None, use_errno=True); os.unshare(0x20000) "
        "if hasattr(os, 'unshare') else libc.unshare(0x20000); libc.mount(b'none', b'/', None, 1 << 18 | 1 << 14, None);"
        "assert libc.mount(b'none', sys.argv[1].encode(), b'tmpfs', 0, b'size=2m') == 0;"
        "from _rocket.audit import log; from _rocket.paths import Paths; paths = Paths(data=sys.argv[1]); log.record(paths, 'fetch', 'x')\n"
        "fd = os.open(sys.argv[1] + '/filler', os.O_WRONLY | os.O_CREAT)\n"
        "try:\n"
        "  while True: os.write(fd, bytes(4096))\n"
        "except OSError as error: assert error.errno == 28\n"
        "heads = [log.record(paths, 'gc', str(n)).seq for n in range(100)]\n"
        "assert heads[-1] == 101"
    )
    source = os.path.dirname(os.path.dirname(os.path.dirname(sys.modules["_rocket.audit.log"].__file__)))
    done = subprocess.run([sys.executable, "-c", code, str(place), source], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_what_is_done_is_written_before_and_how_it_failed_after(paths):
    with log.Acting(paths, "fetch", "good"):
        assert [event["outcome"] for event in written(paths)] == ["allowed"]
    with pytest.raises(TrustError), log.Acting(paths, "fetch", "bad", source="s"):
        raise TrustError("no", code="signature-bad")
    with pytest.raises(FetchError), log.Acting(paths, "fetch", "gone", ahead=False):
        raise FetchError("no", where="there", code="http-status")
    for error in (UsageError("no"), Busy("no")):
        with pytest.raises(type(error)), log.Acting(paths, "fetch", "nothing", ahead=False):
            raise error
    events = [(event["subject"], event["outcome"], event["facts"].get("code"), event["facts"].get("why")) for event in written(paths)]
    assert events == [
        ("good", "allowed", None, None),
        ("bad", "allowed", None, None),
        ("bad", "refused", "signature-bad", "no"),
        ("gone", "failed", "http-status", "there: no"),
    ]


def test_nothing_is_begun_that_cannot_be_written_down(paths):
    os.mkdir(paths.data)
    os.mkdir(paths.audit_log)
    done = []
    with pytest.raises(StoreError), log.Acting(paths, "fetch", "x"):
        done.append(1)
    assert done == []
    with pytest.raises(TrustError) as caught, log.Acting(paths, "fetch", "x", ahead=False):
        raise TrustError("not signed", hint="sign it")
    assert caught.value.what.startswith("not signed (and the audit log does not take it: ") and caught.value.hint == "sign it"


def test_the_head_of_no_log_and_of_one_that_cannot_be_read(paths):
    assert log.read_head(paths) == line.Head()
    os.mkdir(paths.data)
    os.symlink("elsewhere", paths.audit_log)
    with pytest.raises(StoreError, match="cannot be read"):
        log.read_head(paths)
