# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Keys as they are told: whether each counts today, and which images it signed."""

from __future__ import annotations

import os

import pytest
from trust_bench import DAY, NAME, NOW, START

from _rocket.errors import SpecError, TrustError
from _rocket.store.verdict import Signer, Verdict

pytest.importorskip("cryptography", reason="missing ability: the Python package cryptography")

import trust_forge as forge
from trust_forge import Key

from _rocket.trust.listing import listing

OWNER, SUBKEY, STRANGER = Key(1), Key(2), Key(3)
PRINT = OWNER.fingerprint
GOOD = forge.certificate(OWNER)
ARMORED = forge.key_file(GOOD)
CERTIFIES = (forge.flags(1),)


class Image:
    """What a listing looks at of an image's record."""

    def __init__(self, name, *fingerprints, kind="signed"):
        self.id = f"sha512-{name}"
        self.name = name
        self.verdict = Verdict(kind, tuple(Signer(fingerprint, "the/verdict/proves/nothing") for fingerprint in fingerprints), NOW)


@pytest.fixture
def told(bench):
    def look(*images, name="", at=NOW):
        return listing(bench.keyring, images, name, lambda: at)

    return look


def with_subkey(**binding):
    return forge.certificate(OWNER, hashed=CERTIFIES) + forge.packet(14, SUBKEY.body) + forge.binding(OWNER, SUBKEY, **binding)


def test_a_key_is_told_with_whom_it_names_and_what_it_signed(bench, told):
    path = bench.trust(ARMORED, PRINT, "example.com/shop")
    (key,) = told(
        Image(NAME, STRANGER.fingerprint, PRINT), Image("example.com/shop", PRINT), Image("example.com/other", STRANGER.fingerprint)
    )
    assert key.to_json() == {
        "prefix": "example.com/shop",
        "fingerprint": PRINT,
        "identities": [forge.UID],
        "algorithm": "Ed25519",
        "expires": None,
        "layer": "local",
        "path": path,
        "state": "trusted",
        "problem": "",
        "images": [{"id": f"sha512-{NAME}", "name": NAME}, {"id": "sha512-example.com/shop", "name": "example.com/shop"}],
    }


def test_an_image_is_the_keys_that_is_trusted_for_its_name_by_path_parts(bench, told):
    """What the verdict says about prefixes was so when the image came; one image has one line a place of the key."""
    for prefix in ("example.com/shop", "example.com/sho", "example.org", None):
        bench.trust(ARMORED, PRINT, prefix)
    found = {key.prefix: [name for _id, name in key.images] for key in told(Image(NAME, PRINT, PRINT), Image("example.com/shop2", PRINT))}
    assert found == {"": [NAME, "example.com/shop2"], "example.com/sho": [], "example.com/shop": [NAME], "example.org": []}


@pytest.mark.parametrize(
    ("packets", "state", "said"),
    [
        (GOOD, "trusted", ""),
        (forge.certificate(OWNER, hashed=(forge.flags(3), forge.key_expires(400 * DAY))), "trusted", ""),
        (forge.certificate(OWNER, hashed=(forge.flags(3), forge.key_expires(DAY))), "expired", "expired on 2024-01-02"),
        (forge.packet(6, OWNER.body) + forge.revocation(OWNER) + forge.user(OWNER), "revoked", "is revoked"),
        (with_subkey(), "trusted", ""),
        (with_subkey(back=False), "unusable", "no key in it is for signing"),
        (forge.certificate(OWNER, hashed=CERTIFIES), "unusable", "no key in it is for signing"),
        (b"junk", "damaged", "OpenPGP"),
        (forge.certificate(STRANGER), "damaged", STRANGER.fingerprint),
    ],
)
def test_states(bench, told, packets, state, said):
    bench.trust(forge.key_file(packets), PRINT)
    (key,) = told(Image(NAME, PRINT))
    assert key.state == state and said in key.problem and bool(key.problem) == bool(said)
    assert [name for _id, name in key.images] == [NAME], "what it signed is told whatever became of it"


def test_a_key_ends_with_the_last_of_its_signing_subkeys(bench, told):
    """Its primary key is for certifying and never expires: nothing that it signs from then on is taken."""
    bench.trust(forge.key_file(with_subkey(hashed=(forge.key_expires(400 * DAY),))), PRINT)
    assert told(at=START + 399 * DAY)[0].state == "trusted"
    (key,) = told(at=START + 400 * DAY)
    assert key.state == "expired" and SUBKEY.fingerprint in key.problem


def test_masked_and_damaged_keys_do_not_hide_the_others(bench, told):
    bench.trust(ARMORED, PRINT, layer="system")
    bench.trust(b"", PRINT)
    bench.trust(ARMORED, PRINT, "example.org", layer="system")
    os.makedirs(f"{bench.paths.local}/trustedkeys/root.d")
    os.symlink("/etc/passwd", f"{bench.paths.local}/trustedkeys/root.d/x\n")
    assert [(key.prefix, key.fingerprint, key.layer, key.state) for key in told(Image(NAME, PRINT))] == [
        ("", "x\n", "local", "damaged"),
        ("example.com/shop", PRINT, "local", "masked"),
        ("example.org", PRINT, "system", "trusted"),
    ]


def test_who_may_sign_a_name(bench, told):
    for prefix in ("example.com/shop", "example.com/sho", f"{NAME}/below", None):
        bench.trust(ARMORED, PRINT, prefix)
    assert [key.prefix for key in told(name=NAME)] == ["", "example.com/shop"]
    with pytest.raises(SpecError):
        told(name="../example.com")


def test_a_clock_that_is_wrong_tells_nothing(bench, told):
    bench.trust(ARMORED, PRINT)
    with pytest.raises(TrustError) as caught:
        told(at=0)
    assert caught.value.code == "clock-wrong"
