# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The keyring: prefixes by path parts, layers and masks, what is stored, plans."""

from __future__ import annotations

import os
import stat

import pytest
from trust_bench import DATA, DAY, NAME, NOW, START

from _rocket.errors import NotFound, SpecError, StoreError, TrustError, UsageError

pytest.importorskip("cryptography", reason="missing ability: the Python package cryptography")

import trust_forge as forge
from trust_forge import Key

from _rocket.trust.describe import describe, grouped
from _rocket.trust.keyring import Keyring
from _rocket.trust.verify import Verifier

OWNER, STRANGER = Key(1), Key(3)
ARMORED = forge.key_file(forge.certificate(OWNER))
PRINT = OWNER.fingerprint


def covers(bench, name):
    return [key.fingerprint for key in bench.keyring.keys_for(name)] == [PRINT]


@pytest.mark.parametrize("name", ["example.com/foo", "example.com/foo/bar", "example.com/foo/bar/baz"])
def test_prefix_covers(bench, name):
    bench.keyring.add(ARMORED, PRINT, "example.com/foo")
    assert covers(bench, name)


@pytest.mark.parametrize(
    "name",
    ["example.com/foobar", "example.com/foobar/app", "example.com/foo-evil/x", "example.com/fo", "example.com", "example.com.evil.net/foo"],
)
def test_prefix_does_not_cover(bench, name):
    bench.keyring.add(ARMORED, PRINT, "example.com/foo")
    assert bench.keyring.keys_for(name) == []
    with pytest.raises(TrustError) as caught:
        bench.verify(OWNER.detached(DATA), name=name)
    assert caught.value.code == "signer-unknown"
    assert PRINT in str(caught.value)
    assert f"rocket trust --prefix {name}" in str(caught.value)
    with pytest.raises(TrustError) as caught:
        Verifier(bench.keyring, lambda: NOW).require_key(name)
    assert caught.value.code == "signer-unknown"


@pytest.mark.spec("T1")
@pytest.mark.parametrize("name", ["Example.com/foo", "example.com//foo", "example.com/foo/", "../example.com", "example.com/../foo", ""])
def test_names_that_are_none(bench, name):
    for call in (bench.keyring.keys_for, Verifier(bench.keyring, lambda: NOW).require_key):
        with pytest.raises(SpecError):
            call(name)
    with pytest.raises(SpecError):
        bench.verify(OWNER.detached(DATA), name=name)


@pytest.mark.parametrize("prefix", ["example.com/foo/", "example.com/foo/*", "example.com/foo//", "example.com/foo/*/"])
def test_prefix_with_a_mark_is_refused_with_the_right_spelling(bench, prefix):
    for call in (lambda: bench.keyring.plan_add(ARMORED, PRINT, prefix), lambda: bench.keyring.plan_remove(PRINT, prefix)):
        with pytest.raises(UsageError) as caught:
            call()
        assert str(caught.value).endswith("write `--prefix example.com/foo`")


@pytest.mark.parametrize("prefix", ["", "/", "/*", "*", "../x", "a/../b", "example.com/Foo", "a//b", "example.com/foo*"])
def test_prefix_that_is_none(bench, prefix):
    with pytest.raises(SpecError):
        bench.keyring.plan_add(ARMORED, PRINT, prefix)


@pytest.mark.parametrize("text", ["", PRINT[-16:], PRINT[-8:], PRINT + "00", "g" * 40, "../" + PRINT[3:]])
def test_fingerprint_has_to_be_whole(bench, text):
    with pytest.raises(UsageError):
        bench.keyring.plan_add(ARMORED, text, None)


def test_fingerprint_as_people_write_it(bench):
    for text in (PRINT.upper(), grouped(PRINT), "0x" + PRINT):
        assert bench.keyring.plan_add(ARMORED, text, None).subject == PRINT


def test_another_key_than_reviewed_is_refused(bench):
    with pytest.raises(TrustError) as caught:
        bench.keyring.plan_add(ARMORED, STRANGER.fingerprint, None)
    assert caught.value.code == "key-mismatch"
    assert PRINT in str(caught.value)
    assert STRANGER.fingerprint in str(caught.value)


def test_plan_does_nothing_and_apply_is_idempotent(bench):
    plan = bench.keyring.plan_add(ARMORED, PRINT, "example.com/foo")
    assert [(step.action, step.subject, step.reason) for step in plan.steps] == [("trust", PRINT, "not trusted for example.com/foo")]
    assert plan.before is None
    assert plan.after["fingerprint"] == PRINT
    assert plan.to_diff()["after"]
    assert not os.path.exists(bench.paths.local)
    bench.keyring.apply(plan)
    again = bench.keyring.plan_add(ARMORED, PRINT, "example.com/foo")
    assert not again.changed
    assert again.before == again.after == plan.after


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o000])
def test_layout_and_modes_whatever_the_umask(bench, mask):
    before = os.umask(mask)
    try:
        bench.keyring.add(ARMORED, PRINT, "example.com/foo")
        bench.keyring.add(ARMORED, PRINT, None)
    finally:
        os.umask(before)
    base = bench.paths.local + "/trustedkeys"
    for path in (f"{base}/prefix.d/example.com/foo/{PRINT}", f"{base}/root.d/{PRINT}"):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o644
    for path in (base, f"{base}/root.d", f"{base}/prefix.d", f"{base}/prefix.d/example.com", f"{base}/prefix.d/example.com/foo"):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o755
    assert os.listdir(f"{base}/root.d") == [PRINT]


def test_stored_copy_is_canonical(bench):
    """What is not covered by a signature has one form, whatever the offered file looks like."""
    junk = (forge.subpacket(16, bytes.fromhex(PRINT[-16:])), forge.subpacket(100, b"junk"))
    noisy = forge.packet(6, OWNER.body) + forge.user(OWNER, unhashed=junk) + forge.packet(61, b"private")
    noisy += forge.packet(2, STRANGER.sign(0x10, b"x"))
    quiet = forge.packet(6, OWNER.body) + forge.user(OWNER, unhashed=junk[:1])
    bench.keyring.add(forge.key_file(noisy).replace(b"\n", b"\r\n"), PRINT, None)
    assert not bench.keyring.plan_add(forge.key_file(quiet), PRINT, None).changed
    with open(f"{bench.paths.local}/trustedkeys/root.d/{PRINT}", "rb") as stream:
        assert b"junk" not in forge.armor.dearmor(stream.read(), forge.armor.PUBLIC_KEY, "key-malformed", "stored")
    assert bench.verify(OWNER.detached(DATA)).signers[0].prefix == ""


def test_vendor_key_is_masked_by_an_empty_local_file_and_trusted_again(bench):
    bench.trust(ARMORED, PRINT, "example.com/shop", layer="system")
    assert bench.verify(OWNER.detached(DATA)).signers
    (plan,) = bench.keyring.remove(PRINT, "example.com/shop").steps
    assert plan.action == "mask"
    local = f"{bench.paths.local}/trustedkeys/prefix.d/example.com/shop/{PRINT}"
    assert os.stat(local).st_size == 0
    assert bench.keyring.keys_for(NAME) == []
    assert [(key.masked, key.layer, key.certificate) for key in bench.keyring.list()] == [(True, "local", None)]
    assert not bench.keyring.plan_remove(PRINT, "example.com/shop").changed
    assert not bench.keyring.plan_mask(PRINT, "example.com/shop").changed
    assert bench.keyring.add(ARMORED, PRINT, "example.com/shop").steps[0].reason == "masked for example.com/shop"
    assert bench.verify(OWNER.detached(DATA)).signers


def test_mask_masks_its_own_place_only(bench):
    bench.trust(ARMORED, PRINT, "example.com/shop", layer="system")
    bench.trust(ARMORED, PRINT, "example.com", layer="system")
    bench.keyring.mask(PRINT, "example.com/shop")
    assert [key.prefix for key in bench.keyring.keys_for(NAME)] == ["example.com"]


def test_empty_vendor_file_masks_nothing_and_is_named(bench):
    path = bench.trust(b"", PRINT, layer="system")
    (problem,) = bench.keyring.problems(NAME)
    assert (problem.code, problem.where) == ("key-malformed", path)


def test_vendor_key_needs_no_local_copy(bench):
    canonical = forge.key_file(forge.certificate(OWNER))
    bench.trust(canonical, PRINT, layer="system")
    assert not bench.keyring.plan_add(ARMORED, PRINT, "example.com/shop").changed


def test_remove(bench):
    bench.keyring.add(ARMORED, PRINT, "example.com/shop")
    bench.keyring.add(ARMORED, PRINT, None)
    assert not bench.keyring.plan_remove(PRINT, "example.com").changed
    plan = bench.keyring.plan_remove(PRINT, "example.com/shop")
    assert [step.action for step in plan.steps] == ["untrust"]
    assert bench.keyring.remove(PRINT, "example.com/shop").changed
    assert not bench.keyring.plan_remove(PRINT, "example.com/shop").changed
    assert [key.prefix for key in bench.keyring.list()] == [""]
    with pytest.raises(NotFound):
        bench.keyring.apply(plan)


def test_damaged_key_is_removed_without_being_read(bench):
    bench.trust(b"junk", PRINT)
    bench.keyring.remove(PRINT, "example.com/shop")
    assert bench.keyring.list() == []


def test_damaged_copy_is_replaced(bench):
    bench.trust(b"junk", PRINT)
    assert bench.keyring.list()[0].problem.code == "key-malformed"
    assert bench.keyring.add(ARMORED, PRINT, "example.com/shop").steps[0].reason == "the stored copy is refused: key-malformed"
    assert covers(bench, NAME)


def test_link_and_fifo_are_not_followed(bench, tmp_path):
    (tmp_path / "elsewhere").write_bytes(ARMORED)
    path = bench.trust(b"", PRINT)
    for make in (lambda: os.symlink(tmp_path / "elsewhere", path), lambda: os.mkfifo(path), lambda: os.symlink("/dev/null", path)):
        os.unlink(path)
        make()
        (problem,) = bench.keyring.problems(NAME)
        assert (problem.code, problem.where) == ("key-malformed", path)
        assert bench.keyring.keys_for(NAME) == []


def test_what_everyone_may_write_is_not_trusted(bench):
    path = bench.trust(ARMORED, PRINT)
    assert covers(bench, NAME)
    os.chmod(path, 0o646)
    assert bench.keyring.keys_for(NAME) == []
    assert bench.keyring.problems(NAME)[0].where == path
    os.chmod(path, 0o644)
    os.chmod(os.path.dirname(path), 0o757)
    with pytest.raises(TrustError) as caught:
        bench.keyring.keys_for(NAME)
    assert caught.value.where == os.path.dirname(path)


def test_linked_directory_is_refused(bench, tmp_path):
    os.makedirs(tmp_path / "other")
    (tmp_path / "other" / PRINT).write_bytes(ARMORED)
    os.makedirs(bench.paths.local + "/trustedkeys/prefix.d")
    os.symlink(tmp_path / "other", bench.paths.local + "/trustedkeys/prefix.d/example.com")
    with pytest.raises(TrustError):
        bench.keyring.keys_for(NAME)


def test_unfinished_write_is_not_a_key(bench):
    bench.trust(ARMORED, PRINT)
    bench.trust(b"half", f"{PRINT}.{'0' * 32}.new")
    assert bench.keyring.problems(NAME) == []
    assert len(bench.keyring.list()) == 1


def test_oversized_key_file(bench):
    bench.trust(ARMORED + b"\n" * (1 << 20), PRINT)
    assert bench.keyring.problems(NAME)[0].code == "key-malformed"


def test_file_system_that_refuses(bench):
    os.makedirs(bench.paths.local)
    with open(bench.paths.local + "/trustedkeys", "wb"):
        pass
    with pytest.raises(StoreError):
        bench.keyring.add(ARMORED, PRINT, None)


def test_list_shows_every_prefix_and_layer(bench):
    bench.trust(ARMORED, PRINT, "a.org", layer="system")
    bench.trust(ARMORED, PRINT, "a.org/b/c")
    bench.trust(ARMORED, PRINT, None)
    assert [(key.prefix, key.layer) for key in bench.keyring.list()] == [("", "local"), ("a.org", "system"), ("a.org/b/c", "local")]


def test_expired_and_revoked_keys_are_not_enrolled_but_refreshed(bench):
    expired = forge.key_file(forge.certificate(OWNER, hashed=(forge.flags(3), forge.key_expires(DAY))))
    revoked = forge.key_file(forge.packet(6, OWNER.body) + forge.revocation(OWNER) + forge.user(OWNER))
    for armored, code in ((expired, "key-expired"), (revoked, "key-revoked")):
        with pytest.raises(TrustError) as caught:
            bench.keyring.plan_add(armored, PRINT, "example.com")
        assert caught.value.code == code
    bench.keyring.add(ARMORED, PRINT, "example.com")
    assert bench.keyring.add(revoked, PRINT, "example.com").changed
    with pytest.raises(TrustError) as caught:
        bench.keyring.add(ARMORED, PRINT, "example.com")
    assert caught.value.code == "key-revoked"
    with pytest.raises(TrustError) as caught:
        Verifier(bench.keyring, lambda: NOW).require_key(NAME)
    assert caught.value.code == "key-revoked"


def test_refresh_with_a_damaged_revocation_is_refused(bench):
    bench.keyring.add(ARMORED, PRINT, "example.com")
    mark = forge.revocation(OWNER)
    damaged = forge.packet(6, OWNER.body) + mark[:-1] + bytes((mark[-1] ^ 1,)) + forge.user(OWNER)
    with pytest.raises(TrustError) as caught:
        bench.keyring.plan_add(forge.key_file(damaged), PRINT, "example.com")
    assert caught.value.code == "key-malformed"


def test_require_key(bench):
    verifier = Verifier(bench.keyring, lambda: bench.now)
    bench.trust(b"junk", STRANGER.fingerprint)
    with pytest.raises(TrustError) as caught:
        verifier.require_key(NAME)
    assert caught.value.code == "key-malformed"
    bench.trust(forge.key_file(forge.certificate(OWNER, hashed=(forge.flags(3), forge.key_expires(400 * DAY)))), PRINT)
    verifier.require_key(NAME)
    bench.now = START + 400 * DAY
    with pytest.raises(TrustError) as caught:
        verifier.require_key(NAME)
    assert caught.value.code == "key-expired"
    bench.now = 0
    with pytest.raises(TrustError) as caught:
        verifier.require_key(NAME)
    assert caught.value.code == "clock-wrong"


def test_describe_for_review(bench):
    subkey = Key(2)
    packets = forge.certificate(OWNER, uid="Evil \x1b[2J\u202e <e@x>", hashed=(forge.flags(3), forge.key_expires(400 * DAY)))
    packets += forge.packet(14, subkey.body) + forge.binding(OWNER, subkey, back=False)
    found = describe(forge.key_file(packets), "key.asc", NOW)
    assert (found.fingerprint, found.algorithm, found.created, found.expires) == (PRINT, "Ed25519", START, START + 400 * DAY)
    assert found.identities == ("Evil \\x1b[2J\\u202e <e@x>",)
    lines = found.lines()
    assert lines[0] == f"gpg key fingerprint is: {grouped(PRINT)}"
    assert any("does not count" in line and "back-signature" in line for line in lines)
    assert "expires 2025-02-04" in "".join(lines)
    assert all(line.isprintable() or line.startswith("\t") for line in lines)
    assert found.to_json()["signing"][0]["fingerprint"] == PRINT
    assert "expired on" in describe(forge.key_file(packets), "key.asc", NOW + 300 * DAY).problem


@pytest.mark.parametrize("content", [b"", b"\n", b"junk", forge.certificate(OWNER), forge.key_file(b""), forge.key_file(b"\x99")])
def test_describe_refuses_what_is_no_key(content):
    with pytest.raises(TrustError) as caught:
        describe(content, "key.asc", NOW)
    assert caught.value.code == "key-malformed"
    assert "key.asc" in str(caught.value)


def test_keyring_uses_the_clock_of_the_host_by_default(paths):
    assert Keyring(paths).plan_add(ARMORED, PRINT, None).changed
