# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""References to OCI images: which text means what, and that no two repositories share a name here."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from _rocket.errors import RocketError, SpecError, UsageError
from _rocket.spec.identifier import check_ac_identifier
from _rocket.spec.oci_reference import (
    LocalReference,
    RegistryReference,
    check_digest,
    is_digest,
    is_oci_reference,
    named,
    parse_oci_reference,
)

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"


@pytest.mark.parametrize(
    ("text", "reference", "name"),
    [
        ("docker://example.com/web", RegistryReference("example.com", "web", "latest"), "example.com/web:latest"),
        ("docker://example.com/shop/web:1.4", RegistryReference("example.com", "shop/web", "1.4"), "example.com/shop/web:1.4"),
        ("docker://Example.COM/web:V1_x", RegistryReference("example.com", "web", "V1_x"), "example.com/web:V1_x"),
        ("docker://localhost/web:1", RegistryReference("localhost", "web", "1"), "localhost/web:1"),
        ("docker://registry:5000/web:1", RegistryReference("registry:5000", "web", "1"), "registry~5000/web:1"),
        ("docker://10.0.0.1:5000/web:1", RegistryReference("10.0.0.1:5000", "web", "1"), "10.0.0.1~5000/web:1"),
        (f"docker://e.com/web:1@{DIGEST}", RegistryReference("e.com", "web", "1", DIGEST), "e.com/web:1"),
        (f"docker://e.com/web@{DIGEST}", RegistryReference("e.com", "web", "", DIGEST), f"e.com/web:sha256-{HEX}"),
        ("docker://e.com/a__b/c--d/e---f_g.h:1", RegistryReference("e.com", "a__b/c--d/e---f_g.h", "1"), "e.com/a~u~b/c~2~d/e~3~f_g.h:1"),
        ("docker://xn--bcher-kva.example/a:1", RegistryReference("xn--bcher-kva.example", "a", "1"), "xn~2~bcher-kva.example/a:1"),
    ],
)
def test_registries(text, reference, name):
    parsed = parse_oci_reference(text)
    assert parsed == reference
    assert str(parsed.image_name()) == name
    assert parse_oci_reference(str(parsed)) == parsed


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("oci:/srv/layout", LocalReference("oci", "/srv/layout")),
        ("oci:layout:web", LocalReference("oci", "layout", "web")),
        ("oci:/srv/layout:example.com:5000/shop/web:1.4", LocalReference("oci", "/srv/layout", "example.com:5000/shop/web:1.4")),
        (f"oci:/srv/layout:web@{DIGEST}", LocalReference("oci", "/srv/layout", "web", DIGEST)),
        (f"oci-archive:/tmp/web.tar@{DIGEST}", LocalReference("oci-archive", "/tmp/web.tar", "", DIGEST)),
        ("docker-archive:/tmp/web.tar:web:1", LocalReference("docker-archive", "/tmp/web.tar", "web:1")),
    ],
)
def test_local(text, reference):
    assert is_oci_reference(text)
    assert parse_oci_reference(text) == reference
    assert str(reference) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("docker://busybox", r"names no registry.*docker://HOST/busybox"),
        ("docker://library/busybox:1.36", r"names no registry.*docker://HOST/library/busybox:1.36"),
        ("docker:busybox", "behind docker://"),
        ("docker:///busybox", "names no registry"),
        ("docker://example.com", "names no registry"),
        ("docker://example.com/", "the repository"),
        ("docker://example.com/Web", "the repository"),
        ("docker://example.com/we$b", "the repository"),
        ("docker://example.com/a//b", "the repository"),
        ("docker://example.com/../b", "the repository"),
        ("docker://example.com/_a", "the repository"),
        ("docker://example.com/a_", "the repository"),
        ("docker://example.com/a._b", "the repository"),
        ("docker://example.com/a___b", "the repository"),
        ("docker://example.com/a%2f..", "the repository"),
        ("docker://example.com/a?x=1", "the repository"),
        ("docker://example.com/a~b", "the repository"),
        ("docker://example.com/a:", "the tag"),
        ("docker://example.com/a:-1", "the tag"),
        ("docker://example.com/a:1/2", "the tag"),
        ("docker://example.com/a:" + "1" * 129, "the tag"),
        ("docker://example.com/" + "a/" * 130 + "a", "the repository"),
        ("docker://-example.com/a", "the host"),
        ("docker://exa_mple.com/a", "the host"),
        ("docker://example.com:0/a", "the host"),
        ("docker://example.com:65536/a", "the host"),
        ("docker://example.com:5000:1/a", "the host"),
        ("docker://[::1]:5000/a", "the host"),
        ("docker://a..b/c", "the host"),
        (f"docker://e.com/a@sha256:{HEX.upper()}", "one digest was expected"),
        (f"docker://e.com/a@sha256:{HEX[1:]}", "one digest was expected"),
        (f"docker://e.com/a@md5:{HEX[:32]}", "one digest was expected"),
        (f"docker://e.com/a@{DIGEST}@{DIGEST}", "one digest was expected"),
        ("docker://e.com/a@", "one digest was expected"),
        ("oci:", "a path is missing"),
        ("oci::web", "a path is missing"),
        ("oci:/srv:", "a name is missing"),
        ("oci:///srv/layout", "without //"),
        ("docker-daemon:web", "no kind of OCI reference"),
    ],
)
def test_what_means_nothing_or_two_things_is_refused(text, words):
    with pytest.raises(UsageError) as caught:
        parse_oci_reference(text)
    assert re.search(words, str(caught.value)), str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("text", ["docker://user:secret@example.com/a", f"docker://user:secret@example.com/a@{DIGEST}"])
def test_a_password_in_a_reference_is_refused_and_not_shown(text):
    with pytest.raises(UsageError) as caught:
        parse_oci_reference(text)
    assert "secret" not in str(caught.value) + repr(caught.value.to_json())


def test_a_name_that_is_too_long_here_is_refused():
    with pytest.raises(SpecError) as caught:
        parse_oci_reference("docker://" + "a" * 60 + ".example.com/" + "b/" * 120 + "b")
    assert caught.value.rule == "T1"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("web", "localhost/web:latest"),
        ("1.4", "localhost/1.4:latest"),
        ("shop/web:1", "localhost/shop/web:1"),
        ("localhost/web:1", "localhost/web:1"),
        ("example.com/shop/web:1.4", "example.com/shop/web:1.4"),
        ("example.com:5000/web", "example.com~5000/web:latest"),
        ("Example.com/web", "example.com/web:latest"),
    ],
)
def test_names_in_layouts_and_archives(text, name):
    assert str(named(text)) == name


@pytest.mark.parametrize("text", ["", "Web", "a b", "web:", "../x", "/x", "x/", "a@b", "exam_ple.com/x"])
def test_names_that_are_none(text):
    with pytest.raises(UsageError) as caught:
        named(text)
    assert "--name" in caught.value.hint


@pytest.mark.parametrize(
    "text", ["", "sha256:", HEX, f"sha256:{HEX}0", f"SHA256:{HEX}", f"sha512:{HEX}", f"sha256-{HEX}", f" {DIGEST}", f"{DIGEST}\n"]
)
def test_digests_that_are_none(text):
    assert not is_digest(text)
    with pytest.raises(SpecError):
        check_digest(text, "here")


def test_digests():
    assert check_digest(DIGEST, "here") == DIGEST
    assert is_digest(f"sha512:{HEX * 2}")


WORD = st.text("abz09", min_size=1, max_size=4)
COMPONENT = st.builds(
    lambda first, rest: first + "".join(separator + word for separator, word in rest),
    WORD,
    st.lists(st.tuples(st.sampled_from([".", "_", "__", "-", "--", "---", "-" * 10]), WORD), max_size=3),
)
LABEL = st.builds(lambda a, dashes, b: a + "-" * dashes + b, WORD, st.integers(0, 3), WORD)
HOST = st.builds(
    lambda labels, port: ".".join(labels) + port, st.lists(LABEL, min_size=2, max_size=3), st.sampled_from(["", ":1", ":5000", ":65535"])
)
REPOSITORY = st.lists(COMPONENT, min_size=1, max_size=3).map("/".join)


def decoded(name):
    """Take a name back, by the rule of the documentation alone."""
    host, _slash, repository = name.partition("/")
    plain = [re.sub(r"~(u|\d+)~", lambda found: "__" if found[1] == "u" else "-" * int(found[1]), part) for part in (host, repository)]
    return re.sub(r"~(\d+)$", r":\1", plain[0]), plain[1]


@given(host=HOST, repository=REPOSITORY)
def test_a_name_can_be_taken_back(host, repository):
    reference = parse_oci_reference(f"docker://{host}/{repository}:1")
    name = reference.image_name().name
    assert check_ac_identifier(name, "") == name
    assert decoded(name) == (host, repository)


@given(text=st.text(max_size=40))
def test_any_text_ends_in_a_reference_or_one_line(text):
    for start in ("docker://", "oci:", "docker-archive:", ""):
        try:
            assert parse_oci_reference(start + text)
        except RocketError as error:
            assert str(error).isprintable()
