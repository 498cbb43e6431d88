# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What was ever found by fuzzing, and the seeds, on every Python: no fuzzer is needed to replay them."""

from __future__ import annotations

import os
import pathlib
import sys

import pytest

TOP = pathlib.Path(__file__).resolve().parents[3]
sys.path[:0] = [str(TOP / "tests" / "fuzz"), str(TOP / "tests" / "unit" / "image")]

import fuzz  # noqa: E402
import fuzz_targets  # noqa: E402
from image_corpus import corpus  # noqa: E402

KEPT = sorted(path for path in (TOP / "tests" / "fuzz" / "corpus").glob("*/*") if path.is_file())
LARGEST = 8192


@pytest.mark.parametrize("path", [pytest.param(path, id=f"{path.parent.name}-{path.name}") for path in KEPT])
def test_what_was_kept_keeps_its_promises(path):
    if path.parent.name == "unpack" and os.geteuid() != 0:
        pytest.skip("missing ability: root")
    if path.parent.name == "certificate":
        pytest.importorskip("cryptography", reason="missing ability: the Python package cryptography")
    assert fuzz_targets.TARGETS[path.parent.name](path.read_bytes()) is None


def test_every_archive_of_the_corpus_keeps_its_promises():
    for case in corpus().values():
        data = b"" if case.large else case.make(b"/nowhere")
        if len(data) < 40_000:
            assert fuzz_targets.run_archive(data) is None, case.name


def test_every_target_has_seeds_and_nothing_else_is_kept():
    assert {path.parent.name for path in KEPT} | {"archive"} == set(fuzz_targets.TARGETS) == set(fuzz.targets())
    assert [path.name for path in KEPT if path.stat().st_size > LARGEST] == []
    # The sanity tests of Ansible read whatever is not named as binary as text.
    assert all(path.read_bytes().decode() for path in KEPT if path.suffix != ".bin")


def test_a_broken_promise_is_a_finding(monkeypatch):
    """The targets can fail: each of these breaks what one of them is there for."""
    seeds = {path.parent.name + "/" + path.name: path.read_bytes() for path in KEPT}
    manifest, name = seeds["image-manifest/everything.json"], seeds["references/name"]
    monkeypatch.setattr(fuzz_targets.canonical, "dumps", lambda value: manifest)
    monkeypatch.setattr(fuzz_targets.image_manifest.ImageManifest, "to_json", lambda value: {})
    monkeypatch.setattr(fuzz_targets.image_name.ImageName, "__str__", lambda value: "other")
    monkeypatch.setattr(fuzz_targets.quantity, "parse_quantity", lambda value, path: 7)
    monkeypatch.setattr(fuzz_targets.header, "header", lambda entry: bytes(512))
    for run, data in (
        (fuzz_targets.run_image_manifest, seeds["image-manifest/smallest.json"]),
        (fuzz_targets.run_references, name),
        (fuzz_targets.run_quantity, b"1"),
        (fuzz_targets.run_archive, corpus()["hard links"].make(b"")),
    ):
        with pytest.raises((fuzz_targets.Finding, StopIteration)):
            run(data)


def test_a_rule_of_a_prefix_that_only_looks_like_one_is_a_finding(monkeypatch):
    kept = {path.name: path.read_bytes() for path in KEPT if path.parent.name == "policy"}
    assert fuzz_targets.run_policy(kept["beside.json"]) is None
    monkeypatch.setattr(fuzz_targets.policy.layout, "prefixes_of", lambda name: [name[:end] for end in range(1, len(name) + 1)])
    with pytest.raises(fuzz_targets.Finding):
        fuzz_targets.run_policy(kept["beside.json"])


def test_a_bundle_in_which_readers_see_different_things_is_a_finding(monkeypatch):
    monkeypatch.setattr(fuzz_targets.fuzz_bundle.bundle, "_check_between", lambda fd, places: None)
    kept = {path.name: path.read_bytes() for path in KEPT if path.parent.name == "bundle"}
    assert fuzz_targets.TARGETS["bundle"](kept["two-images.bin"]) is None
    with pytest.raises(fuzz_targets.Finding):
        fuzz_targets.TARGETS["bundle"](kept["another-size.bin"])


def kept_of(target):
    return {path.stem: path.read_bytes() for path in KEPT if path.parent.name == target}


def test_a_reader_of_armor_that_takes_too_much_is_a_finding(monkeypatch):
    one = kept_of("signature")["one"]
    assert fuzz_targets.TARGETS["signature"](one) is None
    strict = fuzz_targets.fuzz_signatures.armor._lines
    lines = one.split(b"\n")
    loose = b"\n".join([*lines[:3], *lines[2:]])

    def skipping(data, *words):
        return strict(data.replace(loose, one), *words)

    monkeypatch.setattr(fuzz_targets.fuzz_signatures.armor, "_lines", skipping)
    with pytest.raises(fuzz_targets.Finding, match="other octets"):
        fuzz_targets.TARGETS["signature"](loose)


def test_a_stored_key_that_says_more_is_a_finding(monkeypatch):
    pytest.importorskip("cryptography", reason="missing ability: the Python package cryptography")
    from _rocket.trust.openpgp import certificate

    revoked = kept_of("certificate")["revoked"]
    assert fuzz_targets.TARGETS["certificate"](revoked) is None
    plain = certificate.read_certificate(kept_of("certificate")["plain"], "x").packets
    monkeypatch.setattr(certificate.Certificate, "canonical", lambda self: certificate.armor.enarmor(plain, certificate.armor.PUBLIC_KEY))
    with pytest.raises(fuzz_targets.Finding, match="says another revoked"):
        fuzz_targets.TARGETS["certificate"](revoked)


def test_checksums_are_repaired_so_that_a_fuzzer_gets_behind_them():
    archive = corpus()["hard links"].make(b"")
    broken = archive.replace(b"rootfs/", b"rootfs.")
    assert broken != fuzz_targets.repaired(broken)
    assert fuzz_targets.repaired(archive) == archive


def test_a_canary_that_changes_is_a_finding(root, monkeypatch):
    import fuzz_unpacking

    snapshots = iter([{"a": 1}, {"a": 2}])
    monkeypatch.setattr(fuzz_unpacking.make, "snapshot", lambda _top: next(snapshots))
    with pytest.raises(fuzz_targets.Finding, match="outside"):
        fuzz_unpacking.run(b"x")
