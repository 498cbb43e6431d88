# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What is fuzzed: functions of bytes that raise where a reader of hostile data breaks a promise.

Each takes any bytes. The errors of our own tree are verdicts; everything else that comes out is a finding: another
exception, two readings of the same bytes that differ, a value that does not survive being written and read.
"""

from __future__ import annotations

import json
from fractions import Fraction
from functools import partial

import fuzz_bundle
import fuzz_oci
import fuzz_signatures

from _rocket.errors import ArchiveError, HostError, RocketError, SpecError
from _rocket.fetch.reference import parse_reference
from _rocket.image import compression, header, layout, limits, pax, tar
from _rocket.record import replace
from _rocket.spec import canonical, image_manifest, image_name, pod_manifest, quantity, reading
from _rocket.trust import policy

LIMITS = limits.Limits(bytes=4 << 20, entries=500, ratio=1 << 20, metadata=64 << 10, depth=60, decoder_memory=16 << 20)
BOMB = limits.Limits(bytes=4 << 20, entries=500, ratio=10, ratio_after=4096, decoder_memory=16 << 20)
SHORT = 2560  # bytes that are also read one by one


class Finding(Exception):
    """A promise that was broken."""


def expect(good, what, *values):
    """Raise a Finding unless `good`."""
    if not good:
        raise Finding(f"{what}: {' / '.join(repr(value)[:500] for value in values)}")


def check_error(error):
    """An error is one line of printable ASCII."""
    expect(str(error).isprintable() and str(error).isascii() and len(str(error)) < 4000, "an error that cannot be shown", str(error))


def _manifest(parse, data):
    try:
        value = parse(data)
    except SpecError as error:
        check_error(error)
        return
    written = canonical.dumps(value.to_json())
    again = parse(written)
    expect(again == value, "read, written and read again it is another value", value, again)
    expect(canonical.dumps(again.to_json()) == written, "the canonical form is not canonical", written)
    # What is kept of it is what any reader of JSON sees in it.
    expect(type(value).from_json(json.loads(written)) == value, "another reader of JSON sees another value", written)
    for warning in value.warnings():
        expect(warning.isprintable(), "a warning that cannot be shown", warning)


def run_image_manifest(data):
    """The image manifest: whatever is accepted survives being written."""
    _manifest(image_manifest.parse_image_manifest, data)


def run_pod_manifest(data):
    """The pod manifest, reified."""
    _manifest(pod_manifest.parse_pod_manifest, data)


def run_references(data):
    """What an operator writes to mean an image: the written form means the same."""
    text = data.decode("utf-8", "surrogateescape")
    for parse in (image_name.ImageName.parse, parse_reference):
        try:
            value = parse(text)
        except RocketError as error:
            check_error(error)
            continue
        expect(parse(str(value)) == value, "the written reference means another image", value, str(value))
        if isinstance(value, image_name.ImageName):
            expect(".." not in value.name.split("/") and not value.name.startswith("/"), "a name that climbs", value)


def run_policy(data):
    """A policy: what is accepted survives being written, and its rules are those that another reader sees, by parts."""
    try:
        value = policy.Policy.from_json(reading.load(data, "policy"), "policy")
    except SpecError as error:
        check_error(error)
        return
    written = value.to_json()
    expect(
        policy.Policy.from_json(json.loads(canonical.dumps(written))) == value, "read, written and read again it is another policy", value
    )
    seen = json.loads(data)
    for name in {"example.com/shop/web", *(f"{prefix}/x" for prefix in seen["prefixes"] if len(prefix) < 200)}:
        parts = name.split("/")
        covering = [prefix for prefix in seen["prefixes"] if parts[: prefix.count("/") + 1] == prefix.split("/")]
        rule = seen["prefixes"][max(covering, key=len)] if covering else seen.get("default", {"require": "refuse"})
        found = value.rule_for(name)
        expect((found.require, found.threshold) == (rule["require"], rule.get("threshold", 1)), "another rule decides", name, found, rule)


SCALE = {"n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000), "k": 1000, "K": 1000}
SCALE |= {letter: 1000**power for power, letter in enumerate("MGTPE", 2)}
SCALE |= {f"{letter}i": 1024**power for power, letter in enumerate("KMGTPE", 1)}


def run_quantity(data):
    """Quantities: the number that exact arithmetic of another kind gives, rounded up."""
    text = data.decode("utf-8", "surrogateescape")
    for parse, units in ((quantity.parse_quantity, 1), (quantity.parse_cpu, 1000)):
        try:
            value = parse(text, "x")
        except SpecError as error:
            check_error(error)
            continue
        number = text.rstrip("kKiMGTPEnum") if text[-1] in "kKiMGTPEnum" else text
        mantissa, _letter, exponent = number.lower().partition("e")
        if abs(int(exponent or "0")) > 400:
            # Far more digits than this oracle has time for: whatever is accepted is nothing, or the least there is.
            expect(value == (Fraction(mantissa) > 0), "another number", text, value)
            continue
        exact = Fraction(number) * SCALE.get(text[len(number) :], 1) * units
        expect(value == -(-exact.numerator // exact.denominator), "another number", text, value, exact)
        expect(0 <= value < 1 << 63, "out of range", text, value)


def repaired(data):
    """Return `data` with right checksums in whatever looks like a header: they keep a fuzzer from what lies behind."""
    blocks = bytearray(data)
    for at in range(0, len(data) - 511, 512):
        if blocks[at + 257 : at + 262] == b"ustar":
            blocks[at + 148 : at + 156] = b" " * 8
            blocks[at + 148 : at + 156] = b"%06o\0 " % sum(blocks[at : at + 512])
    return bytes(blocks)


def _members(data, size):
    """Return all that a reader learns of an archive that comes in pieces of `size`; or its error."""
    reader = tar.Reader((data[at : at + size] for at in range(0, len(data), size)), LIMITS)
    places = layout.Layout(LIMITS)
    found = []
    try:
        for entry in reader.entries():
            found.append((entry, places.place(entry), b"".join(reader.data(entry))))
        places.finish()
    except ArchiveError as error:
        check_error(error)
        return found, str(error)
    return found, ""


def run_archive(data):
    """A tar and the layout of an image: however it is cut into pieces, and as our own writer writes it."""
    data = repaired(data)
    found, error = _members(data, max(1, len(data)))
    for size in (513, *((1,) if len(data) <= SHORT else ())):
        other = _members(data, size)
        expect(other == (found, error), f"pieces of {size} bytes make another archive", other, (found, error))
    for entry, parts, content in found:
        expect(b".." not in parts and b"" not in parts and parts[:1] in ((), (b"manifest",), (b"rootfs",)), "a place outside", parts)
        expect(len(content) == entry.size, "content of another size", entry)
        if max(entry.device) < 8**7:
            again, _places, _content = _rewritten(entry)
            entry = replace(entry, xattrs=tuple(sorted(entry.xattrs)))
            expect(again == entry, "written and read again it is another entry", entry, again)


def _rewritten(entry):
    written = header.header(entry) + bytes(entry.size) + header.padding(entry.size) + bytes(1024)
    reader = tar.Reader(iter([written]), LIMITS)
    return next(reader.entries()), None, None


def run_records(data):
    """PAX records: what is read was written so, and the other fields of a header."""
    for parse in (pax.parse, pax.parse_global):
        try:
            records = parse(data) or {}
        except ArchiveError as error:
            check_error(error)
            continue
        expect(pax.parse(b"".join(pax.record(key, value) for key, value in records.items())) == records, "other records", records)
    for read in (pax.nanoseconds, lambda value: pax.decimal(value, "x")):
        try:
            value = read(data)
        except ArchiveError as error:
            check_error(error)
            continue
        expect(abs(value) < 10**80, "a number out of range", value)
        if abs(value) < 10**70:
            exact = int(Fraction(abs(Fraction(data.decode()))) * (10**9 if read is pax.nanoseconds else 1))
            expect(abs(value) == exact, "another number", data, value)


def _expanded(data, size, bounds):
    """Return what a compressed stream that comes in pieces of `size` expands to, and the code of its error."""
    pieces, produced = [], 0
    try:
        for piece in compression.decompressed((data[at : at + size] for at in range(0, len(data), size)), bounds):
            produced += len(piece)
            pieces.append(piece)
            expect(produced <= bounds.bytes, "more than the limit", produced)
    except (ArchiveError, HostError) as error:
        check_error(error)
        return b"".join(pieces), error.code
    return b"".join(pieces), ""


def _decompressor(magic):
    def run(data):
        data = data if data.startswith(magic) else magic + data
        whole = _expanded(data, len(data), LIMITS)
        for size in (97, *((1,) if len(data) <= SHORT else ())):
            other = _expanded(data, size, LIMITS)
            # Where it is refused, the pieces decide how much is let through before, and whether damage or a limit comes first.
            same = other == whole or (other[1] and whole[1])
            expect(same, f"pieces of {size} bytes expand to something else", other, whole)
        produced, _code = _expanded(data, 64, BOMB)
        expect(len(produced) <= max(BOMB.ratio_after, BOMB.ratio * len(data)), "more than the ratio allows", len(produced))

    run.__doc__ = "A decompressor: bounded, and the same however its input is cut into pieces."
    return run


def run_unpack(data):
    """Unpacking beside a canary; made in fuzz_unpacking.py."""
    import fuzz_unpacking

    fuzz_unpacking.run(data)


TARGETS = {
    "image-manifest": run_image_manifest,
    "pod-manifest": run_pod_manifest,
    "references": run_references,
    "policy": run_policy,
    "quantity": run_quantity,
    "archive": run_archive,
    "records": run_records,
    "gzip": _decompressor(b"\x1f\x8b"),
    "bzip2": _decompressor(b"BZh"),
    "xz": _decompressor(b"\xfd7zXZ\x00"),
    "zstd": _decompressor(b"\x28\xb5\x2f\xfd"),
    "unpack": run_unpack,
    "oci-manifest": partial(fuzz_oci.run_document, expect, check_error),
    "oci-config": partial(fuzz_oci.run_config, expect, check_error),
    "oci-layers": partial(fuzz_oci.run_layers, LIMITS, repaired, expect, check_error),
    "oci-challenge": partial(fuzz_oci.run_challenge, expect, check_error),
    "oci-references": partial(fuzz_oci.run_reference, expect, check_error),
    "signature": partial(fuzz_signatures.run_signature, expect, check_error),
    "certificate": partial(fuzz_signatures.run_certificate, expect, check_error),
    "bundle": partial(fuzz_bundle.run, repaired, expect, check_error),
}
