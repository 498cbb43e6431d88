# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Verdicts on disk: old ones read, and one that this version does not know all of is not taken for a better one."""

from __future__ import annotations

import pytest
from store_archives import INSECURE, PINNED, archive
from store_archives import SIGNED as SOMEBODY

from _rocket.errors import NotFound, StoreError
from _rocket.spec.image_name import ImageName
from _rocket.store.catalogue import Catalogue
from _rocket.store.record import encode_record
from _rocket.store.verdict import Rule, Signer, Verdict

RULE = Rule("example.com", "signed", 2, ("a" * 40,), "any")
SIGNED = Verdict("signed", (Signer("a" * 40, "example.com", "Ada", 7),), 1, ("image",), "", True, RULE)
OLD = {"kind": "pinned", "signers": [], "checked_at": 1, "insecure_options": []}


@pytest.mark.parametrize("verdict", [INSECURE, Verdict("open")])
def test_a_verdict_only_gets_better_by_an_import(imports, verdict):
    imports(archive(), verdict=PINNED)
    assert imports(archive(), verdict=verdict).verdict == PINNED
    found = imports(archive(), verdict=SOMEBODY).verdict
    assert (found.kind, found.pinned) == ("signed", True), "what the operator said of the image ID stays true"
    assert imports(archive(), verdict=SOMEBODY).verdict.pinned


def test_a_verdict_survives_being_written():
    assert Verdict.from_json(SIGNED.to_json()) == SIGNED
    assert set(Verdict("open").to_json()) == {"kind", "signers", "checked_at", "insecure_options"}


def test_records_from_before_there_were_policies_are_read():
    found = Verdict.from_json(OLD)
    assert found == Verdict("pinned", checked_at=1) and found.by_pin and not found.pinned and found.policy is None


BAD = [
    {"pinned": 1},
    {"pinned": "yes"},
    {"pinned": None},
    {"pined": True},
    {"revoked": True},
    {"distrusted": "today"},
    {"digest": 1},
    {"kind": None},
    {"checked_at": True},
    {"checked_at": "1"},
    {"signers": {}},
    {"signers": [{"fingerprint": "a" * 40, "prefix": "x", "weight": 2}]},
    {"policy": "signed"},
    {"policy": {}},
    {"policy": {**Rule().to_json(), "more": 1}},
    {"policy": {**Rule().to_json(), "threshold": True}},
    {"policy": {**Rule().to_json(), "keys": "a"}},
    {"policy": {name: value for name, value in Rule().to_json().items() if name != "second_opinion"}},
]


@pytest.mark.parametrize("member", BAD)
def test_what_is_not_known_of_a_verdict_is_refused(member):
    with pytest.raises((KeyError, TypeError)):
        Verdict.from_json({**OLD, **member})


@pytest.mark.parametrize("member", BAD[:6])
def test_an_image_with_such_a_verdict_is_damaged_and_hides_no_other(store, paths, imports, member):
    """The record itself is whole: another version wrote it."""
    other, image = imports(archive(version="1")), imports(archive(version="2"))
    manifest = f"{paths.images}/{image.id}/manifest"
    record = image.to_json()
    record["verdict"].update(member)

    class Written:
        id = image.id

        @staticmethod
        def to_json():
            return record

    with open(manifest, "rb") as stream, open(f"{paths.images}/{image.id}/record.json", "wb") as target:
        target.write(encode_record(Written, stream.read()))
    for look in (lambda: Catalogue(paths).find_id(image.id), lambda: store.verify(image.id)):
        with pytest.raises(StoreError) as caught:
            look()
        assert caught.value.code == "damaged"
    assert [error.facts["image_id"] for error in store.damaged()] == [image.id]
    assert store.find(ImageName.parse("example.com/app")).id == other.id
    with pytest.raises(NotFound) as missing:
        store.find(ImageName.parse("example.com/app:2"))
    assert image.id in str(missing.value)
