# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The files of the audit log: one that is full is moved away, the oldest goes, and the chain goes on through all of it."""

from __future__ import annotations

import os

import pytest
from test_audit_log import written

from _rocket.audit import append_only, chain, log, segments


@pytest.fixture
def growing(root, paths):
    """A log with one event that can grow and nothing else; let go of in the end."""
    log.record(paths, "run", "x")
    fd = os.open(paths.audit_log, os.O_RDONLY)
    try:
        append_only.set_append_only(fd, True)
    except OSError as error:
        pytest.skip(f"this file system has no append-only files: {error.strerror}")
    finally:
        os.close(fd)
    yield
    for path in chain.files(paths):
        append_only.freed(path)


def test_only_full_files_are_files_of_the_log(paths):
    log.record(paths, "fetch", "x")
    for name in ("audit.log.1", "audit.log.bak", "audit.log.00000000000000x", "audit.log.0000000000000001", "xaudit.log.000000000000001"):
        with open(f"{paths.data}/{name}", "wb"):
            pass
    assert segments.segments(paths.audit_log) == []
    assert log.record(paths, "fetch", "y").seq == 2


def test_a_full_file_is_moved_away_and_the_chain_goes_on(paths, monkeypatch):
    monkeypatch.setattr(log, "ROTATE", 3000)
    heads = [log.record(paths, "run", str(number)) for number in range(60)]
    full = segments.segments(paths.audit_log)
    assert len(full) > 3 and os.path.basename(full[0]) == f"audit.log.{heads[0].seq + len(open(full[0]).readlines()) - 1:015d}"
    assert [event["seq"] for event in written(paths)] == list(range(1, 61))
    assert log.read_head(paths) == heads[-1]
    os.unlink(paths.audit_log)
    assert log.read_head(paths).seq == int(full[-1][-15:])


def test_of_too_many_files_the_oldest_goes_and_that_is_an_event(paths, monkeypatch):
    monkeypatch.setattr(log, "ROTATE", 3000)
    monkeypatch.setattr(log, "KEEP", 2)
    for number in range(100):
        log.record(paths, "run", str(number))
    assert len(segments.segments(paths.audit_log)) == 2
    events = written(paths)
    assert events[0]["seq"] > 50 and any(event["action"] == "audit-prune" for event in events)


def test_a_crash_between_the_two_halves_of_a_rotation(paths, monkeypatch):
    log.record(paths, "run", "one")
    os.rename(paths.audit_log, segments.segment_path(paths.audit_log, 1))
    assert log.record(paths, "run", "two").seq == 2
    assert [event["seq"] for event in written(paths)] == [1, 2]


def test_an_append_only_log_is_rotated_and_stays_append_only(growing, paths, monkeypatch):
    monkeypatch.setattr(log, "ROTATE", 3000)

    def bound(path):
        fd = os.open(path, os.O_RDONLY)
        try:
            return append_only.is_append_only(fd)
        finally:
            os.close(fd)

    with pytest.raises(PermissionError):
        os.truncate(paths.audit_log, 0)
    for number in range(30):
        log.record(paths, "run", str(number))
    full = segments.segments(paths.audit_log)
    assert full and all(map(bound, [*full, paths.audit_log]))
    written(paths)


def test_names_are_on_the_disk_before_an_event_counts(paths, monkeypatch):
    """The directory is synced when the log is made, when a full file is moved away and when one is dropped."""
    synced = []
    real = os.fsync
    monkeypatch.setattr(log.os, "fsync", lambda fd: (synced.append(os.readlink(f"/proc/self/fd/{fd}")), real(fd)))
    monkeypatch.setattr(log, "ROTATE", 1000)
    monkeypatch.setattr(log, "KEEP", 1)
    seen = []
    for number in range(12):
        log.record(paths, "run", str(number))
        seen.append((len(segments.segments(paths.audit_log)), synced.count(os.path.realpath(paths.data))))
    assert seen[0] == (0, 1)
    rotations = [after[1] - before[1] for before, after in zip(seen, seen[1:]) if after[1] > before[1]]
    # The move and the new file; where one is dropped, that too.
    assert rotations[0] == 2 and set(rotations[1:]) == {3}


def test_the_oldest_file_goes_though_it_is_append_only(growing, paths, monkeypatch):
    monkeypatch.setattr(log, "ROTATE", 1000)
    monkeypatch.setattr(log, "KEEP", 1)
    for number in range(30):
        log.record(paths, "run", str(number))
    assert len(segments.segments(paths.audit_log)) == 1
    written(paths)


def test_a_full_file_that_ends_in_a_cut_line_is_repaired_before_it_is_moved_away(paths, monkeypatch):
    log.record(paths, "run", "one")
    with open(paths.audit_log, "ab") as target:
        target.write(b'{"action":"ru')
    monkeypatch.setattr(log, "ROTATE", 10)
    log.record(paths, "run", "two")
    assert segments.segments(paths.audit_log) == []
    log.record(paths, "run", "three")
    assert len(segments.segments(paths.audit_log)) == 1
    assert [event["subject"] for event in written(paths)] == ["one", "audit.log", "two", "three"]
