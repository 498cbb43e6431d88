# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What is fuzzed of OCI images: documents, configurations, layers, and what registries ask for."""

from __future__ import annotations

from _rocket.errors import ArchiveError, RocketError, SpecError
from _rocket.fetch.sources import token
from _rocket.image import layout, merged_tree, oci_config, oci_users, tar
from _rocket.spec import canonical, image_manifest, oci_manifest, oci_reference

DIGEST = "sha256:" + "0" * 64
NAME = oci_reference.named("example.com/app:1")


def run_document(expect, check_error, data):
    """Manifests and indexes: what is accepted has digests that can be part of a path, and bounded lists."""
    for media_type in (*oci_manifest.MANIFESTS, *oci_manifest.INDEXES):
        try:
            found = oci_manifest.parse_document(data, media_type, "the document")
        except SpecError as error:
            check_error(error)
            continue
        if isinstance(found, oci_manifest.Index):
            items = found.manifests
            expect(media_type in oci_manifest.INDEXES, "an index where a manifest is due", data)
        else:
            items = (found.config, *found.layers)
            expect(len(found.layers) <= oci_manifest.MOST_LAYERS and found.config.size <= oci_manifest.DOCUMENT_LIMIT, "no bounds", data)
        for item in items:
            expect(oci_reference.is_digest(item.digest) and "/" not in item.digest and item.size >= 0, "a digest that is none", item)
        if isinstance(found, oci_manifest.Index):
            try:
                expect(oci_manifest.choose(found, "amd64", "x") in items, "an image that is not there", found)
            except SpecError as error:
                check_error(error)


def run_config(expect, check_error, data):
    """Configurations: whatever is accepted becomes a manifest that our own reader takes, and nothing more powerful."""
    try:
        config = oci_config.parse_config(data, DIGEST)
        owner, _told = oci_users.owner_of(config.user, b"app:x:1:2::/:/\n", b"app:x:3:app\n")
        made, dropped = oci_config.image_manifest(config, NAME, owner)
    except SpecError as error:
        check_error(error)
        return
    expect(image_manifest.parse_image_manifest(canonical.dumps(made.to_json())) == made, "written and read again it is another", made)
    kept = [isolator.parsed for isolator in made.app.isolators]
    expect(kept == [oci_config.CAPABILITIES], "other capabilities", kept)
    expect(all(isinstance(text, str) for text in dropped), "a warning that is none", dropped)


def run_layers(limits, repaired, expect, check_error, data):
    """Layers: two of the same bytes make a tree whose archive any strict reader takes, without a whiteout in it."""
    data = repaired(data)
    tree, places = merged_tree.MergedTree(limits), layout.Layout(limits)
    try:
        for _layer in range(2):
            reader = tar.Reader(iter([data] if data else []), limits)
            for entry in reader.entries():
                tree.place(entry)
            tree.finish_layer()
        found = list(tree.entries(b"rootfs"))
    except ArchiveError as error:
        check_error(error)
        return
    for entry, _offset in found:
        parts = places.place(entry)
        expect(parts[:1] == (b"rootfs",) and b".." not in parts, "a place outside", entry)
        expect(not any(part.startswith(b".wh.") for part in parts), "a whiteout in the tree", entry)
    expect([entry.name for entry, _offset in found] == [entry.name for entry, _offset in tree.entries(b"rootfs")], "another order", found)


def run_challenge(expect, check_error, data):
    """What a registry asks for with a 401: ends, and a realm is either its own or refused."""
    for scheme, parameters in token.challenges(data.decode("latin-1")):
        expect(scheme == scheme.lower() and scheme.isascii(), "a scheme that is none", scheme)
        realm = parameters.get("realm", "")
        try:
            token.check_realm(realm, "example.com", ())
        except RocketError as error:
            check_error(error)
            continue
        expect(realm.lower().startswith("https://example.com"), "a token server of somebody else", realm)


def run_reference(expect, check_error, data):
    """References of OCI images: the written form means the same, and the name is one here."""
    text = data.decode("utf-8", "surrogateescape")
    for start in ("", "docker://", "oci:"):
        try:
            value = oci_reference.parse_oci_reference(start + text)
            name = (
                value.image_name().name
                if isinstance(value, oci_reference.RegistryReference)
                else oci_reference.named(value.name or "x").name
            )
        except RocketError as error:
            check_error(error)
            continue
        expect(oci_reference.parse_oci_reference(str(value)) == value, "the written reference means another image", value)
        expect(".." not in name.split("/") and not name.startswith("/"), "a name that climbs", name)
