# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The table of a fleet: what stays, what is refused, and which checkpoints are kept."""

from __future__ import annotations

import copy
import json

import pytest
from fleet_hosts import HEAD, IMAGE, NOW, OTHER_HEAD, SCRIPT, answers, checkpoint, failed

from _rocket.errors import UsageError
from _rocket.host.fleet_audit import fleet
from _rocket.host.fleet_page import RANKS, moment, page, rank, shown


def told(*entries, names=(), last=None, now=NOW):
    """Return what an audit finds, its document as a file would give it back."""
    found = fleet(entries, [entry["host"] for entry in entries] + list(names), last, now)
    assert json.loads(found.text()) == found.document
    return found


def test_the_same_state_is_the_same_text_but_for_one_member():
    first = told(answers("b"), answers("a"))
    again = told(answers("a"), answers("b"), last=first.document, now=NOW + 100)
    assert first.changed and not again.changed and list(again.document["hosts"]) == ["a", "b"]
    assert again.document["collected"] == {"at": NOW + 100, "hosts": {"a": NOW + 100, "b": NOW + 100}}
    assert first.text() != again.text()
    assert {**first.document, "collected": None} == {**again.document, "collected": None}
    other = answers("a")
    other["image_info"]["images"][0]["standing"]["good"] = False
    assert told(other, answers("b"), last=first.document).changed


def test_what_was_known_of_a_host_that_is_not_reached_stays_and_of_one_that_is_gone_goes():
    first = told(answers("a"), answers("b"), answers("c"), answers("d"))
    down = {**answers("b"), "image_info": {"unreachable": True, "msg": "ssh"}, "pod_info": {"skipped": True}}
    second = told(answers("a"), down, names=["c"], last=first.document, now=NOW + 100)
    hosts, seen = second.document["hosts"], second.document["collected"]["hosts"]
    assert {name: host["state"] for name, host in hosts.items()} == {"a": "reached", "b": "unreachable", "c": "not-asked"}
    assert all(hosts[name]["images"] == [IMAGE] for name in "abc") and seen == {"a": NOW + 100, "b": NOW, "c": NOW}
    assert second.failures == () and [name for name, _kept in second.checkpoints] == ["a"]
    third = told(down, names=["new"], last=second.document, now=NOW + 200)
    assert third.document["hosts"]["b"]["images"] == [IMAGE] and third.document["collected"]["hosts"] == {"b": NOW, "new": 0}
    assert third.document["hosts"]["new"] == {
        **dict.fromkeys(("images", "damaged", "pods", "keys", "log")),
        "state": "not-asked",
        "errors": [],
    }


def test_a_part_that_is_not_answered_is_not_known_and_is_told():
    found = told({**answers("a"), "trust_info": failed("needs the Python package cryptography")})
    host = found.document["hosts"]["a"]
    assert host["keys"] is None and host["images"] == [IMAGE] and host["state"] == "reached"
    assert found.failures == ("a: trust_info: needs the Python package cryptography",)
    assert told({**answers("a"), "audit_info": {"skipped": True}}).failures == ("a: audit_info: was not asked",)


def changed(path, value):
    """Return the answers of a host with one member replaced; `path` has names and numbers."""
    entry = answers("evil")
    place = entry
    for part in path[:-1]:
        place = place[part]
    if value is KeyError:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return entry


IMAGES, LOG = ("image_info", "images"), ("audit_info", "audit")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (IMAGES, None),
        (IMAGES, {"0": IMAGE}),
        (IMAGES, "x"),
        ((*IMAGES, 0), None),
        ((*IMAGES, 0, "id"), KeyError),
        ((*IMAGES, 0, "id"), ["x"]),
        ((*IMAGES, 0, "size"), True),
        ((*IMAGES, 0, "size"), -1),
        ((*IMAGES, 0, "size"), 1 << 80),
        ((*IMAGES, 0, "size"), 1.5),
        ((*IMAGES, 0, "in_use"), 1),
        ((*IMAGES, 0, "labels"), [["a", "b"]]),
        ((*IMAGES, 0, "labels"), {"a": 1}),
        ((*IMAGES, 0, "standing"), KeyError),
        ((*IMAGES, 0, "standing", "good"), "yes"),
        ((*IMAGES, 0, "verdict", "signers"), [{}]),
        ((*IMAGES, 0, "verdict", "policy"), 1.5),
        ((*IMAGES, 0, "verdict", "policy"), {"a": [[[[[[[[1]]]]]]]]}),
        ((*IMAGES, 0, "verdict", "checked_at"), "now"),
        (("image_info", "damaged"), [1]),
        (("pod_info", "pods", 0, "apps"), None),
        (("trust_info", "trusted_keys", 0, "prefix"), 1),
        ((*LOG, "seq"), "7"),
        ((*LOG, "seq"), True),
        (("audit_info", "intact"), 1),
        (("audit_info", "problems"), [{"code": "x"}]),
        (("image_info",), ["x"]),
        (("image_info",), None),
    ],
)
def test_an_answer_of_another_shape_is_no_answer_and_does_not_get_at_the_others(path, value):
    found = told(answers("good"), changed(path, value))
    evil = found.document["hosts"]["evil"]
    assert len(evil["errors"]) == 1 and found.failures == (f"evil: {evil['errors'][0]}",) and path[0] in found.failures[0]
    assert found.document["hosts"]["good"] == told(answers("good")).document["hosts"]["good"]
    assert page(found.document)["hosts"][0]["host"] == "evil"


def test_members_that_nobody_asked_for_are_left_out():
    found = told(changed((*IMAGES, 0, "extra"), "x" * 100))
    assert found.document["hosts"]["evil"]["images"] == [IMAGE]


@pytest.mark.parametrize(
    ("kept", "log", "code"),
    [
        (None, (7, HEAD), ""),
        ((7, HEAD), (7, HEAD), ""),
        ((5, OTHER_HEAD), (7, HEAD), ""),
        ((8, HEAD), (7, HEAD), "truncated"),
        ((8, HEAD), (0, ""), "truncated"),
        ((7, OTHER_HEAD), (7, HEAD), "checkpoint-differs"),
        (None, (7, "sha512-x"), "no-event"),
    ],
)
def test_a_checkpoint_moves_only_to_a_log_that_goes_on(kept, log, code):
    """Whatever the host says of itself: here it says that all is well."""
    found = told(answers("a", log=log, kept=kept))
    host = found.document["hosts"]["a"]
    assert [problem["code"] for problem in host["log"]["problems"]] == ([code] if code else []) and host["log"]["intact"] == (not code)
    new = [] if code or kept == log else [("a", checkpoint(*log))]
    assert list(found.checkpoints) == new
    assert bool(found.failures) == bool(code) and all("the audit log is not what it was, from event" in text for text in found.failures)


def test_a_log_of_nothing_makes_no_checkpoint():
    assert told(answers("a", log=(0, ""))).checkpoints == ()


def test_what_a_host_finds_in_its_log_is_told_from_the_first_event_on():
    problems = [{"code": "missing", "seq": 9, "what": "x"}, {"code": "edited", "seq": 3, "what": "its text was \x1b[2J changed"}]
    found = told(answers("a", log=(12, HEAD), kept=(2, OTHER_HEAD), problems=problems))
    assert found.checkpoints == () and found.failures == (
        "a: the audit log is not what it was, from event 3 on: its text was \\x1b[2J changed",
    )
    (bare,) = told(answers("a", log=(12, HEAD), intact=False)).failures
    assert "from event 1 on" in bare


def test_a_log_that_is_cut_is_told_once_whoever_finds_it():
    problem = {"code": "truncated", "seq": 8, "what": "by the host"}
    found = told(answers("a", log=(7, HEAD), kept=(8, HEAD), problems=[problem]))
    assert found.document["hosts"]["a"]["log"]["problems"] == [problem] and len(found.failures) == 1


def test_a_bad_log_is_not_forgotten_because_its_host_is_switched_off():
    first = told(answers("a", log=(7, HEAD), kept=(8, HEAD)))
    second = told({"host": "a", "image_info": {"unreachable": True}, "checkpoint": checkpoint(8, HEAD)}, last=first.document)
    assert second.failures == first.failures and second.checkpoints == ()


@pytest.mark.parametrize(
    "last",
    [
        {"version": 2, "hosts": {}, "collected": {"hosts": {}}},
        {"hosts": {}},
        ["x"],
        {"version": 1, "hosts": [], "collected": {"hosts": {}}},
        {"version": 1, "hosts": {}, "collected": 1},
        {"version": 1, "hosts": {"a": {"state": "reached"}}, "collected": {"hosts": {}}},
        {"version": 1, "hosts": {"a": {"state": "reached", "errors": [], "images": [{}]}}, "collected": {"hosts": {}}},
    ],
)
def test_a_last_audit_that_is_none_is_refused(last):
    with pytest.raises(UsageError, match=r"audit\.json"):
        told(answers("a"), last=last)


@pytest.mark.parametrize("kept", [{"seq": 1}, {"seq": "1", "head": HEAD}, {"seq": -1, "head": HEAD}, ["x"], "x"])
def test_a_checkpoint_that_is_none_is_not_taken_for_no_checkpoint(kept):
    with pytest.raises(UsageError, match="checkpoint of a"):
        told({**answers("a"), "checkpoint": kept})


def image(kind="signed", good=True, insecure=(), **changes):
    found = copy.deepcopy(IMAGE)
    found["verdict"].update(kind=kind, insecure_options=list(insecure))
    found["standing"] = {"good": good, "code": "" if good else "signer-unknown", "problem": "" if good else "nobody is trusted"}
    return {**found, **changes}


def test_what_has_to_be_looked_at_comes_first():
    """By what an auditor fears most, not by name: the worst image has the last name here."""
    images = [
        image(name="a"),
        image(name="b", insecure=["http"]),
        image("pinned", name="c"),
        image("open", name="d"),
        image("insecure", name="e"),
        image(name="z", good=False),
        image("insecure", good=False, name="y", insecure=["image"]),
    ]
    entry = answers("host")
    entry["image_info"]["images"] = images
    shown_page = page(told(entry).document)
    assert [[row["name"] for row in group["rows"]] for group in shown_page["images"]] == [["y", "z"], ["d", "e"], ["c"], ["b"], ["a"]]
    assert [group["title"] for group in shown_page["images"]] == [title for _word, title in RANKS]
    assert [(count["number"], count["class"]) for count in shown_page["counts"][:2]] == [(2, "bad"), (2, "bad")]
    assert shown_page["hosts"][0]["refused"] == "2" and rank(image()) == len(RANKS) - 1


def test_hosts_with_problems_come_first_and_old_ones_say_so():
    first = told(answers("a"), answers("b"))
    down = {**answers("a"), "image_info": {"unreachable": True}}
    broken = answers("c", log=(1, HEAD), kept=(2, HEAD))
    found = page(told(down, answers("b"), broken, names=["n"], last=first.document).document)
    assert [row["host"] for row in found["hosts"]] == ["c", "a", "n", "b"]
    by_name = {row["host"]: row for row in found["hosts"]}
    assert by_name["a"]["state"] == f"not reached; as of {moment(NOW)}" and by_name["n"]["state"] == "not asked this time; nothing is known"
    assert by_name["n"]["images"] == "?" == by_name["n"]["log"] and "audit log, event 2" in by_name["c"]["problems"]
    assert "a (not reached)" in [row["host"] for group in found["images"] for row in group["rows"]]


def test_texts_of_hosts_are_bound_and_have_nothing_that_is_not_printable():
    assert shown("x\x1b[2J\u202e\x00\ud800\u00e9<b>") == "x\\x1b[2J\\u202e\\x00\\ud800\u00e9<b>"
    assert len(shown("x" * 1000, 300)) == 300
    assert moment(0) == moment(None) == moment(1 << 52) == "" and moment(NOW).startswith("20")
    entry = answers("evil")
    entry["image_info"]["images"] = [image(name="\ud800" * 1000, labels={"version": SCRIPT, "\x00": "\n"}, imported_at=(1 << 53) - 1)]
    (row,) = page(told(entry).document)["images"][4]["rows"]
    assert all(text.isprintable() and len(text) <= 600 for text in row.values())
