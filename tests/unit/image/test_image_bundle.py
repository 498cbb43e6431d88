# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The file of a bundle is byte by byte what its bundle.json says: whatever differs is refused before an image is looked at."""

from __future__ import annotations

import io
import json
import os
import struct
import tarfile

import pytest
from bundles import END, Part, bundle, header, index, member, names, pieces, text

from _rocket.errors import ArchiveError, RocketError, SpecError
from _rocket.image import bundle as reader
from _rocket.record import replace
from _rocket.spec.bundle import MOST_IMAGES, Bundle, Bundled, bundle_path, check_size

ID = "sha512-" + "0" * 127


def part(number=1, size=700, **said):
    said = {"id": f"{ID}{number}", **said}
    return Part(bytes([number]) * size, f"example.com/app{number}", b"s" * 600 if number % 2 else b"", **said)


PARTS = (part(1), part(2, size=1024))


@pytest.fixture
def read(tmp_path):
    """Read the contents of bytes."""

    def run(data):
        (tmp_path / "x.bundle").write_bytes(data)
        fd = os.open(tmp_path / "x.bundle", os.O_RDONLY)
        try:
            return reader.read_contents(fd)
        finally:
            os.close(fd)

    return run


def test_what_another_writer_wrote_is_read_and_other_readers_see_the_same(read, tmp_path):
    data = bundle(*PARTS)
    found = read(data)
    assert [(image.image_id, image.size, image.signature_size, image.named) for image in found.bundle.images] == [
        (f"{ID}1", 700, 600, True),
        (f"{ID}2", 1024, 0, True),
    ]
    assert names(tmp_path / "x.bundle") == ["bundle.json", *found.places] == ["bundle.json", "001.aci.asc", "001.aci", "002.aci"]
    with tarfile.open(tmp_path / "x.bundle") as archive:
        for place in found.places.values():
            assert (archive.getmember(place.name).offset_data, archive.getmember(place.name).size) == (place.offset, place.size)
            assert data[place.offset : place.offset + place.size] == archive.extractfile(place.name).read()


def replaced(number, changed):
    """Return the bundle with another piece in a place."""
    found = pieces(PARTS)
    found[number] = changed(found[number])
    return b"".join(found) + END


def pax(key, value):
    record = b"%s=%s\n" % (key, value)
    length = len(record) + 3
    return member("PaxHeaders/x", b"%d %s" % (length, record), kind=b"x")


def longer(block):
    """Return a member with a header whose size is in binary, as GNU writes large ones."""
    front, back = bytearray(block[:512]), block[512:]
    front[124:136] = b"\x80" + bytes(3) + struct.pack(">Q", 700)
    front[148:156] = b" " * 8
    front[148:156] = b"%06o\0 " % sum(front)
    return bytes(front) + back


FOUND = pieces(PARTS)
HOSTILE = {
    "empty": b"",
    "short": FOUND[0][:511],
    "no tar": b"x" * 4096,
    "only the index": FOUND[0] + END,
    "cut by a byte": bundle(*PARTS)[:-1],
    "cut in an image": b"".join(FOUND)[:-600],
    "without the end": b"".join(FOUND),
    "data in the last block": bundle(*PARTS)[:-1] + b"x",
    "data in the first block of the end": b"".join(FOUND) + b"x" + END[1:],
    "half an end": b"".join(FOUND) + bytes(512),
    "zeros behind it": bundle(*PARTS) + bytes(512),
    "data behind it": bundle(*PARTS) + b"x",
    "another archive behind it": bundle(*PARTS) * 2,
    "an entry more": b"".join(FOUND) + member("003.aci", b"x") + END,
    "an entry less": b"".join(FOUND[:-1]) + END,
    "an entry twice": b"".join((*FOUND[:3], FOUND[2], FOUND[3])) + END,
    "the index last": b"".join((*FOUND[1:], FOUND[0])) + END,
    "another order": b"".join((FOUND[0], FOUND[2], FOUND[1], FOUND[3])) + END,
    "another name": replaced(2, lambda block: member("01.aci", PARTS[0].data)),
    "a name that climbs": replaced(2, lambda block: member("../001.aci", PARTS[0].data)),
    "a link": replaced(2, lambda block: header("001.aci", 700, kind=b"2") + block[512:]),
    "a directory": replaced(2, lambda block: header("001.aci", 700, kind=b"5") + block[512:]),
    "a sparse file": replaced(2, lambda block: header("001.aci", 700, kind=b"S") + block[512:]),
    "a PAX size": replaced(2, lambda block: pax(b"size", b"700") + block),
    "a PAX name": replaced(2, lambda block: pax(b"path", b"001.aci") + block),
    "a size in binary": replaced(2, longer),
    "another size": replaced(2, lambda block: header("001.aci", 701) + block[512:]),
    "a size that hides a member": replaced(2, lambda block: header("001.aci", 3000) + block[512:]),
    "an owner": replaced(2, lambda block: header("001.aci", 700, owner=7) + block[512:]),
    "a mode": replaced(2, lambda block: header("001.aci", 700, mode=0o4755) + block[512:]),
    "a time": replaced(2, lambda block: header("001.aci", 700, mtime=1) + block[512:]),
    "a checksum": replaced(2, lambda block: block[:150] + b"7" + block[151:]),
    "a hidden name": replaced(2, lambda block: block[:50] + b"x" + block[51:]),
    "data in the padding": replaced(2, lambda block: block[:-1] + b"x"),
    "data in the padding of the index": replaced(0, lambda block: block[:-1] + b"x"),
    "an index that is a link": replaced(0, lambda block: header("bundle.json", len(text(index(PARTS))), kind=b"1") + block[512:]),
    "an index of another name": replaced(0, lambda block: header("index.json", len(text(index(PARTS)))) + block[512:]),
    "an index over its limit": member("bundle.json", text(index(PARTS)).ljust((1 << 20) + 1)) + b"".join(FOUND[1:]) + END,
    "an index of 8 GiB": header("bundle.json", 8**11 - 1) + b"".join(FOUND) + END,
}


@pytest.mark.parametrize("case", HOSTILE)
def test_whatever_differs_is_refused_in_one_line(read, case):
    with pytest.raises(ArchiveError) as caught:
        read(HOSTILE[case])
    assert str(caught.value).isprintable() and len(str(caught.value)) < 300


REFUSED_BY_ALL = {
    "empty",
    "short",
    "no tar",
    "only the index",
    "cut in an image",
    "an entry less",
    "another name",
    "a name that climbs",
    "a link",
}
REFUSED_BY_ALL |= {"a directory", "a size that hides a member", "a checksum", "a hidden name", "an index that is a link"}
REFUSED_BY_ALL |= {"an index of another name", "an index of 8 GiB"}


def naive(data):
    """Return the images of a bundle as a reader gets them that looks for what the index names."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        found = json.load(archive.extractfile("bundle.json"))
        return [archive.extractfile(image["file"]).read(image["size"]) for image in found["images"]]


def test_a_naive_reader_takes_most_of_it():
    """What this strictness is for: in these there is something that one reader sees and another one does not."""
    refused = set()
    for case, data in HOSTILE.items():
        try:
            naive(data)
        except (tarfile.TarError, KeyError, AttributeError):
            refused.add(case)
    assert refused == REFUSED_BY_ALL and len(refused) < len(HOSTILE) / 2


def said(**changes):
    return {"rktKind": "bundle", "rktVersion": "v1", "images": [{"file": "001.aci", **PARTS[1].said, **changes}]}


def without(name):
    value = said()
    del value["images"][0][name]
    return value


LIES = {
    "no JSON": b"{",
    "not UTF-8": b'{"rktKind":"\xff"}',
    "no object": b"[]",
    "another kind": text({**said(), "rktKind": "auth"}),
    "another version": text({**said(), "rktVersion": "v2"}),
    "an unknown member": text({**said(), "key": "-----BEGIN PGP"}),
    "an unknown member of an image": text(said(verdict="signed")),
    "a member twice": text(said()).replace(b'"named":true', b'"named":true,"named":true'),
    "no images": text({**said(), "images": []}),
    "too many images": text(index([part(id=f"sha512-{number:0128x}") for number in range(MOST_IMAGES + 1)])),
    "an image twice": text(index((PARTS[0], PARTS[0]))),
    "no image that is named": text(said(named=False)),
    "no image ID": text(said(id="sha512-0")),
    "an image ID that climbs": text(said(id="../../x")),
    "no image name": text(said(name="Example.com/../x")),
    "a label that is no text": text(said(labels={"version": 1})),
    "labels in a list": text(said(labels=[])),
    "another file": text(said(file="002.aci")),
    "a file that climbs": text(said(file="../001.aci")),
    "a size of nothing": text(said(size=0)),
    "a size below nothing": text(said(size=-512)),
    "a size that is a fraction": text(said()).replace(b'"size":1024', b'"size":1024.0'),
    "a size beyond 64 bits": text(said(size=1 << 64)),
    "a signature over its limit": text(said(signatureSize=(64 << 10) + 1)),
    "a signature of less than nothing": text(said(signatureSize=-1)),
    "named by a number": text(said(named=1)),
    "white space": text(said()) + b"\n",
    "another order of members": text(said()).replace(b',"rktKind":"bundle"', b"").replace(b"{", b'{"rktKind":"bundle",', 1),
    "a null": text({**said(), "more": None}),
    "too deep": b"[" * 100_000,
    **{f"without {name}": text(without(name)) for name in said()["images"][0]},
}


@pytest.mark.parametrize("case", LIES)
def test_an_index_that_is_not_exact_is_refused_in_one_line(read, case):
    with pytest.raises(SpecError) as caught:
        read(bundle(PARTS[1], said=LIES[case]))
    assert str(caught.value).isprintable() and len(str(caught.value)) < 600


def test_sizes_that_add_up_beyond_the_file_are_refused_and_nothing_is_read(read):
    for size in (8**11, (1 << 63) - 1):
        with pytest.raises(ArchiveError, match="cut"):
            read(bundle(PARTS[1], said=text(said(size=size))))


@pytest.mark.parametrize("kind", ["fifo", "directory", "device"])
def test_only_a_regular_file_is_read(tmp_path, kind):
    path = str(tmp_path / "x")
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        os.mkdir(path)
    else:
        path = "/dev/zero"
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(ArchiveError, match="regular file"):
            reader.read_contents(fd)
    finally:
        os.close(fd)


def test_an_image_of_more_than_8_gib_has_the_one_record_that_it_needs(tmp_path):
    """A sparse file of the host stands for the image; another reader of tar sees its size."""
    size = 8**11 + 5
    written = Bundle((Bundled(f"{ID}1", "example.com/app", (), size, 0, True),))
    path = tmp_path / "x.bundle"
    with open(path, "wb") as file:
        for piece in (reader.heading("bundle.json", len(written.to_bytes())), written.to_bytes(), bytes(-len(written.to_bytes()) % 512)):
            file.write(piece)
        file.write(reader.heading("001.aci", size))
        file.truncate(file.tell() + size + -size % 512 + 1024)
    fd = os.open(path, os.O_RDONLY)
    try:
        place = reader.read_contents(fd).places["001.aci"]
    finally:
        os.close(fd)
    with tarfile.open(path) as archive:
        other = archive.getmember("001.aci")
    assert (other.offset_data, other.size) == (place.offset, place.size)


def test_a_reference_has_a_path():
    assert bundle_path("bundle:/media/x") == "/media/x" and bundle_path("bundle:x") == "x"
    for text_ in ("bundle:", "bundle://host/x", "bundle:x\0", "x"):
        with pytest.raises(RocketError, match="names no bundle"):
            bundle_path(text_)


def test_no_more_is_written_than_is_read():
    images = tuple(Bundled(f"sha512-{number:0128x}", "example.com/app", (), 1, 0, True) for number in range(MOST_IMAGES + 1))
    assert Bundle.parse(check_size(Bundle(images[:-1]))).images == images[:-1]
    with pytest.raises(RocketError, match="257 images"):
        check_size(Bundle(images))
    long = replace(images[0], labels=(("version", "1" * (1 << 20)),))
    with pytest.raises(RocketError, match="more than a bundle holds"):
        check_size(Bundle((long,)))
