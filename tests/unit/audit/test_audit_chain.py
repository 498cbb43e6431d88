# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Verifying the audit log: every edit, gap, swap and double is found and the first event concerned is named."""

from __future__ import annotations

import json
import os
import random

import pytest

from _rocket.audit import chain, line, log, segments
from _rocket.errors import StoreError, UsageError
from _rocket.spec.canonical import dumps

COUNT = 9


@pytest.fixture
def lines(paths):
    """The lines of a log of COUNT events."""
    for number in range(1, COUNT + 1):
        log.record(paths, "fetch", f"example.com/{number}")
    with open(paths.audit_log, "rb") as source:
        return source.read().splitlines(keepends=True)


def after(paths, changed, checkpoint=None):
    """Return the report of a log that holds `changed`."""
    with open(paths.audit_log, "wb") as target:
        target.write(b"".join(changed))
    return chain.verify(chain.files(paths), checkpoint)


def first(report):
    return (report.problems[0].code, report.problems[0].seq)


def head(lines, number):
    return line.Head(number, line.line_digest(lines[number - 1][:-1]))


def test_what_nobody_changed_is_intact(paths, lines):
    report = after(paths, lines, head(lines, 4))
    assert report == chain.Report(1, head(lines, COUNT), sum(map(len, lines)), (), (), 0) and report.intact
    assert after(paths, []) == chain.Report(0, line.Head(), 0, (), (), 0)


@pytest.mark.parametrize("number", range(1, COUNT))
def test_an_event_that_was_edited(paths, lines, number):
    """In any way that leaves it an event; the last one is found by a checkpoint alone, see below."""
    event = json.loads(lines[number - 1])
    for member, value in (("subject", "x"), ("time", event["time"] + 1), ("outcome", "refused"), ("by", {}), ("facts", {"a": 1})):
        changed = [*lines]
        changed[number - 1] = dumps({**event, member: value}) + b"\n"
        assert first(after(paths, changed)) == ("edited", number)


@pytest.mark.parametrize("number", range(1, COUNT + 1))
def test_a_flipped_bit_anywhere(paths, lines, number):
    """The event is named, or the one beside it with which it does not fit any more."""
    text = lines[number - 1]
    for index in range(0, len(text) - 1, 3):
        changed = [*lines]
        changed[number - 1] = text[:index] + bytes([text[index] ^ 1]) + text[index + 1 :]
        report = after(paths, changed, head(lines, COUNT))
        assert not report.intact and abs(report.problems[0].seq - number) <= 1, (index, report)
        assert number in [problem.seq for problem in report.problems], (index, report)


@pytest.mark.parametrize("number", range(2, COUNT))
def test_an_event_that_was_taken_out(paths, lines, number):
    assert first(after(paths, [*lines[: number - 1], *lines[number:]])) == ("missing", number)


def test_events_that_were_taken_out_at_the_start(paths, lines):
    for number in range(1, COUNT):
        assert first(after(paths, lines[number:])) == ("start-missing", 1)


@pytest.mark.parametrize("number", range(1, COUNT))
def test_two_events_that_changed_places(paths, lines, number):
    changed = [*lines]
    changed[number - 1], changed[number] = changed[number], changed[number - 1]
    report = after(paths, changed)
    assert report.problems and min(problem.seq for problem in report.problems) in (1, number)
    assert any(problem.code in ("order", "start-missing") for problem in report.problems)


@pytest.mark.parametrize("number", range(1, COUNT + 1))
def test_an_event_that_stands_twice(paths, lines, number):
    assert first(after(paths, [*lines[:number], lines[number - 1], *lines[number:]])) == ("order", number)


@pytest.mark.parametrize("kept", range(1, COUNT + 1))
def test_a_log_that_was_cut_at_its_end_is_intact_until_a_checkpoint_is_there(paths, lines, kept):
    for number in range(1, COUNT):
        cut = lines[:number]
        assert after(paths, cut).intact
        report = after(paths, cut, head(lines, kept))
        assert report.intact if kept <= number else first(report) == ("truncated", number + 1)


def test_a_log_that_began_anew(paths, lines):
    os.unlink(paths.audit_log)
    for number in range(3):
        log.record(paths, "fetch", str(number))
    places = chain.files(paths)
    assert chain.verify(places).intact
    assert first(chain.verify(places, head(lines, COUNT))) == ("truncated", 4)
    assert first(chain.verify(places, head(lines, 2))) == ("checkpoint-differs", 2)
    os.unlink(paths.audit_log)
    assert first(chain.verify(chain.files(paths), head(lines, 2))) == ("truncated", 1)


def test_a_history_that_was_written_anew_from_some_event_on(paths, lines):
    """With right digests throughout: what an intruder who knows the format does. The head that was kept does not fit any more."""
    changed, previous = [], ""
    for number, text in enumerate(lines, 1):
        event = {**json.loads(text), "prev": previous, "subject": "nothing" if number >= 5 else f"example.com/{number}"}
        changed.append(dumps(event) + b"\n")
        previous = line.line_digest(changed[-1][:-1])
    assert after(paths, changed).intact
    for kept in range(1, COUNT + 1):
        report = after(paths, changed, head(lines, kept))
        assert report.intact if kept < 5 else first(report) == ("checkpoint-differs", kept)


@pytest.mark.parametrize("put", [b"\n", b"x\n", b'{"action":"fetch"}\n', b"\xff\x00\n", b"x" * 200000 + b"\n"])
def test_something_that_is_no_event(paths, lines, put):
    for number in (1, 4, COUNT + 1):
        report = after(paths, [*lines[: number - 1], put, *lines[number - 1 :]])
        assert first(report) == ("no-event", number), report


def test_an_event_in_other_words_is_none(paths, lines):
    for other in (
        json.dumps(json.loads(lines[3]), sort_keys=True).encode() + b"\n",
        dumps({**json.loads(lines[3]), "more": 1}) + b"\n",
        dumps({**json.loads(lines[3]), "facts": []}) + b"\n",
        b" " + lines[3],
        lines[3][:-1] + b" \n",
        lines[3].replace(b'"seq":4', b'"seq":04'),
        lines[3].replace(b'"insecure":[],', b'"insecure":[],"insecure":[],'),
    ):
        assert first(after(paths, [*lines[:3], other, *lines[4:]])) == ("no-event", 4)


def test_a_repair_that_does_not_fit_what_stands_before_it(paths, lines):
    with open(paths.audit_log, "ab") as target:
        target.write(b'{"action":"ru')
    log.record(paths, "fetch", "after")
    with open(paths.audit_log, "rb") as source:
        found = source.read().splitlines(keepends=True)
    report = after(paths, found)
    assert report.intact and report.repaired == (COUNT + 1,)
    assert first(after(paths, [*found[:COUNT], b'{"action":"rn\n', *found[COUNT + 1 :]])) == ("no-event", COUNT + 1)
    # Nothing before it: what was cut short has been taken away.
    assert after(paths, [*found[:COUNT], *found[COUNT + 1 :]]).problems[0].code == "no-event"


def test_only_an_event_of_repair_tells_of_what_a_crash_left(paths, lines):
    """The right words of an event of another kind do not."""
    left = b'{"action":"ru'
    facts = {"bytes": len(left), "digest": line.line_digest(left)}
    for action, intact in (("audit-repair", True), ("run", False)):
        event = {**json.loads(lines[0]), "action": action, "facts": facts, "seq": COUNT + 1, "prev": head(lines, COUNT).head}
        assert after(paths, [*lines, left + b"\n", dumps(event) + b"\n"]).intact == intact


def test_a_log_of_which_much_is_wrong_is_told_in_twenty_lines(paths, lines):
    report = after(paths, [lines[0]] * 60)
    assert len(report.problems) == 20 and first(report) == ("order", 1)


def test_a_file_of_the_middle_that_is_gone(paths, monkeypatch):
    monkeypatch.setattr(log, "ROTATE", 3000)
    for number in range(60):
        log.record(paths, "run", str(number))
    full = segments.segments(paths.audit_log)
    assert chain.verify(chain.files(paths)).intact
    gone = full[1]
    starts = int(full[0][-15:]) + 1
    os.unlink(gone)
    assert first(chain.verify(chain.files(paths))) == ("missing", starts)
    os.unlink(full[0])
    assert first(chain.verify(chain.files(paths))) == ("start-missing", 1)


def test_pruning_is_told_apart_from_removal(paths, monkeypatch):
    monkeypatch.setattr(log, "ROTATE", 3000)
    monkeypatch.setattr(log, "KEEP", 3)
    for number in range(200):
        kept = log.record(paths, "run", str(number))
    report = chain.verify(chain.files(paths), kept)
    assert report.intact and report.first > 1
    assert first(chain.verify(chain.files(paths), line.Head(1, "sha512-" + "0" * 128))) == ("checkpoint-gone", 1)
    os.unlink(segments.segments(paths.audit_log)[0])
    assert first(chain.verify(chain.files(paths), kept)) == ("start-missing", 1)


def test_any_change_of_the_bytes_is_found_with_the_last_head(paths, lines):
    """Random cuts, doubles, flips and moves of bytes; whatever verifies with the head that was kept is the log as it was."""
    dice, data, kept = random.Random(5), b"".join(lines), head(lines, COUNT)
    for _turn in range(1500):
        start, end = sorted(dice.sample(range(len(data) + 1), 2))
        where = dice.randrange(len(data) + 1)
        changed = dice.choice(
            [
                data[:start] + data[end:],
                data[:where] + data[start:end] + data[where:],
                data[:start] + bytes(dice.randrange(256) for _turn in range(min(end - start, 40))) + data[end:],
                data[:start] + data[start:end][::-1] + data[end:],
            ]
        )
        report = after(paths, [changed], kept)
        if report.intact:
            assert changed in (data, data[:-1]) or changed.startswith(data), changed


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        None,
        {"seq": 1},
        {"seq": "1", "head": "sha512-" + "0" * 128},
        {"seq": 1, "head": "sha512-" + "0" * 127},
        {"seq": 1, "head": "sha512-" + "A" * 128},
        {"seq": 1, "head": ""},
        {"seq": 0, "head": "sha512-" + "0" * 128},
        {"seq": -1, "head": "sha512-" + "0" * 128},
        {"seq": 1.5, "head": "sha512-" + "0" * 128},
    ],
)
def test_a_checkpoint_that_is_none_is_refused(value):
    with pytest.raises(UsageError, match="rocket audit head"):
        chain.read_checkpoint(value, "here")


def test_checkpoints(paths, lines):
    kept = head(lines, 3)
    assert chain.read_checkpoint({**kept.to_json(), "size": 7}, "here") == kept
    assert chain.read_checkpoint({"seq": 0, "head": ""}, "here") == line.Head()


def test_what_cannot_be_read_is_said(paths, lines, tmp_path):
    with pytest.raises(StoreError, match="cannot be read"):
        chain.verify([str(tmp_path / "none")])
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(StoreError, match="regular"):
        chain.verify([str(tmp_path / "fifo")])
    os.symlink(paths.audit_log, tmp_path / "link")
    with pytest.raises(StoreError, match="cannot be read"):
        chain.verify([str(tmp_path / "link")])


def test_a_hundred_thousand_events_take_seconds(paths):
    """Not a timing: that the walk takes each line once."""
    os.mkdir(paths.data)
    previous, rows = "", []
    for number in range(1, 100001):
        event = {"action": "run", "boot": "", "by": {}, "facts": {}, "insecure": [], "outcome": "allowed", "subject": "x", "time": 1}
        rows.append(dumps({**event, "seq": number, "prev": previous}))
        previous = line.line_digest(rows[-1])
    with open(paths.audit_log, "wb") as target:
        target.write(b"\n".join(rows) + b"\n")
    report = chain.verify(chain.files(paths))
    assert report.intact and report.last.seq == 100000
