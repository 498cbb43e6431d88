# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Writing images: the same bytes again, read back by our reader and by other programs."""

from __future__ import annotations

import errno
import os
import signal
import socket
import stat
import subprocess

import pytest
from image_archives import MANIFEST, ZEROS, facts

from _rocket.errors import ArchiveError, SpecError, UsageError
from _rocket.image.build import build, open_source, work_out
from _rocket.image.check import inspect
from _rocket.image.extract import extract
from _rocket.image.header import header
from _rocket.image.tar import Entry, Reader
from _rocket.spec.image_manifest import parse_image_manifest

KEEP = 1 << 33


@pytest.fixture
def manifest():
    return parse_image_manifest(MANIFEST)


@pytest.fixture
def tree(tmp_path):
    """A tree with one of each kind that needs no privileges."""
    top = tmp_path / "tree"
    (top / "bin").mkdir(parents=True)
    (top / "bin" / "b").write_bytes(b"b" * 1000)
    (top / "bin" / "a").write_bytes(b"")
    (top / "bin.d").mkdir()
    os.link(top / "bin" / "b", top / "bin.d" / "hard")
    os.symlink("bin/b", top / "link")
    os.symlink("x" * 300, top / "long link")
    os.mkfifo(top / "pipe")
    (top / ("n" * 200)).write_text("long")
    (top / ("d" * 90)).mkdir()
    (top / ("d" * 90) / ("e" * 90)).write_text("prefix")
    (top / os.fsdecode(b"caf\xe9")).write_text("bytes")
    (top / os.fsdecode(b"caf\xe9" * 40)).write_text("long bytes")
    os.chmod(top / "bin" / "b", 0o4755)
    return top


def entries(path):
    data = path.read_bytes()
    reader = Reader(iter([data]))
    return [(entry, b"".join(reader.data(entry))) for entry in reader.entries()]


@pytest.mark.spec("A3")
def test_round_trip(root, tmp_path, tree, manifest):
    os.chown(tree / "bin" / "a", 5_000_000, 3)
    os.setxattr(tree / "bin" / "a", "user.x", b"\n=\0")
    os.utime(tree / "bin" / "a", ns=(0, 1_234_567_891))
    os.utime(tree / "bin", ns=(0, -1_500_000_000))
    image_id = build(str(tree), manifest, str(tmp_path / "x.aci"), mtime=KEEP)
    (tmp_path / "out").mkdir()
    with open(tmp_path / "x.aci", "rb") as stream:
        extract(stream.fileno(), str(tmp_path / "out"), expected_id=image_id)
    assert facts(tmp_path / "out" / "rootfs") == facts(tree)


def test_manifest_first_and_names_sorted(tmp_path, tree, manifest):
    build(str(tree), manifest, str(tmp_path / "x.aci"), compression="none")
    found = entries(tmp_path / "x.aci")
    names = [entry.name for entry, _content in found]
    assert names[:2] == [b"manifest", b"rootfs/"]
    assert names[1:] == sorted(names[1:], key=lambda name: name.rstrip(b"/").split(b"/"))
    assert (
        found[0][1] == b'{"acKind":"ImageManifest","acVersion":"0.8.11","labels":[{"name":"os","value":"linux"}],"name":"example.com/app"}'
    )
    assert {entry.mtime_ns for entry, _content in found} == {0}


@pytest.mark.parametrize("compression", ["gzip", "bzip2", "xz", "none"])
def test_reproducible(tmp_path, tree, manifest, compression, monkeypatch):
    """Another directory, another order of making, other times: the same bytes."""
    one = build(str(tree), manifest, str(tmp_path / "a.aci"), compression)
    other = tmp_path / "other"
    subprocess.run(["cp", "-a", str(tree), str(other)], check=True)
    for name in ("bin", "bin/a", "link"):
        os.utime(other / name, (99, 10**9), follow_symlinks=False)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert build(str(other), manifest, str(tmp_path / "other name.aci"), compression) == one
    assert (tmp_path / "a.aci").read_bytes() == (tmp_path / "other name.aci").read_bytes()
    found = inspect(str(tmp_path / "a.aci"))
    assert found.image_id == one
    assert found.manifest == manifest


def test_times_are_clamped(tmp_path, tree, manifest, monkeypatch):
    for path, time in (("bin/a", 50), ("bin/b", 5000)):
        os.utime(tree / path, (time, time))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "100")

    def times(**options):
        (tmp_path / "x.aci").unlink(missing_ok=True)
        build(str(tree), manifest, str(tmp_path / "x.aci"), "none", **options)
        found = {entry.name: entry.mtime_ns // 10**9 for entry, _content in entries(tmp_path / "x.aci")}
        return found[b"rootfs/bin/a"], found[b"rootfs/bin/b"]

    assert times() == (50, 100)
    assert times(mtime=70) == (50, 70)
    assert times(mtime=KEEP) == (50, 5000)
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    assert times() == (0, 0)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "-1")
    with pytest.raises(UsageError):
        times()


def test_owner_is_given(tmp_path, tree, manifest):
    build(str(tree), manifest, str(tmp_path / "x.aci"), "none", owner=(3, 4))
    assert {(entry.uid, entry.gid) for entry, _content in entries(tmp_path / "x.aci") if entry.name != b"manifest"} == {(3, 4)}


def test_pax_only_where_it_is_needed(tmp_path, tree, manifest):
    build(str(tree), manifest, str(tmp_path / "x.aci"), "none")
    data = (tmp_path / "x.aci").read_bytes()
    assert data.count(b"PaxHeaders/") == 3


def test_attributes_of_the_host_stay_out(root, tmp_path, tree, manifest):
    for name in ("user.overlay.opaque", "trusted.overlay.opaque", "user.kept", "trusted.x"):
        os.setxattr(tree / "bin", name, b"y")
    build(str(tree), manifest, str(tmp_path / "x.aci"), "none")
    found = {entry.name: entry.xattrs for entry, _content in entries(tmp_path / "x.aci")}
    assert found[b"rootfs/bin/"] == ((b"user.kept", b"y"),)


def test_devices_are_written(root, tmp_path, tree, manifest):
    try:
        os.mknod(tree / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("missing ability: mknod")
    build(str(tree), manifest, str(tmp_path / "x.aci"), "none")
    found = {entry.name: entry for entry, _content in entries(tmp_path / "x.aci")}
    assert (found[b"rootfs/null"].kind, found[b"rootfs/null"].device) == ("char", (1, 3))


def test_a_socket_is_refused_and_nothing_is_left(tmp_path, tree, manifest):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tree / "s"))
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(ArchiveError, match="socket"):
        build(str(tree), manifest, str(tmp_path / "x.aci"))
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.spec("A1")
@pytest.mark.parametrize("name", ["x", "x.tar", "x.aci.gz", ".aci", "xaci"])
def test_name(tmp_path, tree, manifest, name):
    with pytest.raises(SpecError, match="A1"):
        build(str(tree), manifest, str(tmp_path / name))


@pytest.mark.spec("T9a")
def test_a_published_version_stays_and_is_named(tmp_path, tree):
    target = tmp_path / "x.aci"
    released = parse_image_manifest(MANIFEST.replace(b'"os", "value": "linux"', b'"version", "value": "1.0"'))
    first = build(str(tree), released, str(target))
    before = target.read_bytes()
    (tree / "more").write_text("another build of it")
    with pytest.raises(UsageError) as caught:
        build(str(tree), released, str(target))
    assert f"example.com/app:1.0, {first}" in str(caught.value) and "x.aci" in str(caught.value)
    assert target.read_bytes() == before
    second = build(str(tree), released, str(target), overwrite=True)
    assert inspect(str(target)).image_id == second != first


@pytest.mark.parametrize("make", [lambda path: path.write_text("old"), lambda path: path.symlink_to("nowhere"), lambda path: path.mkdir()])
def test_what_is_in_the_way_stays(tmp_path, tree, manifest, make):
    target = tmp_path / "x.aci"
    make(target)
    before = os.lstat(target)
    with pytest.raises(UsageError, match="holds no image"):
        build(str(tree), manifest, str(target))
    assert os.lstat(target) == before
    assert sorted(os.listdir(tmp_path)) == ["tree", "x.aci"]


def test_another_image_than_expected_does_not_appear(tmp_path, tree, manifest):
    wanted = build(str(tree), manifest, str(tmp_path / "x.aci"))
    assert build(str(tree), manifest, str(tmp_path / "x.aci"), overwrite=True, expected_id=wanted) == wanted
    (tree / "more").write_text("meanwhile")
    before = (tmp_path / "x.aci").read_bytes()
    with pytest.raises(ArchiveError, match="became sha512-"):
        build(str(tree), manifest, str(tmp_path / "x.aci"), overwrite=True, expected_id=wanted)
    assert (tmp_path / "x.aci").read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["tree", "x.aci"]


def test_the_image_id_can_be_had_without_the_image(tmp_path, tree, manifest):
    before = sorted(os.listdir(tmp_path))
    with open_source(str(tree)) as source:
        found = work_out(source, manifest)
        assert work_out(source, manifest) == found
    assert sorted(os.listdir(tmp_path)) == before
    assert build(str(tree), manifest, str(tmp_path / "x.aci")) == found[0]


def test_a_file_that_appears_meanwhile_stays(tmp_path, tree, manifest, monkeypatch):
    from _rocket.image import build as module

    monkeypatch.setattr(module, "check_output", lambda *_arguments: None)
    (tmp_path / "x.aci").write_text("old")
    with pytest.raises(UsageError):
        build(str(tree), manifest, str(tmp_path / "x.aci"))
    assert (tmp_path / "x.aci").read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["tree", "x.aci"]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("nameless", [True, False])
def test_a_file_system_without_nameless_files_does_as_well(tmp_path, tree, manifest, monkeypatch, nameless, overwrite):
    real = os.open

    def without(path, flags, *more, **rest):
        if flags & os.O_TMPFILE == os.O_TMPFILE and not nameless:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return real(path, flags, *more, **rest)

    monkeypatch.setattr(os, "open", without)
    wanted = build(str(tree), manifest, str(tmp_path / "x.aci"))
    if overwrite:
        (tmp_path / "x.aci").write_text("old")
        assert build(str(tree), manifest, str(tmp_path / "x.aci"), overwrite=True) == wanted
    assert inspect(str(tmp_path / "x.aci")).image_id == wanted
    assert sorted(os.listdir(tmp_path)) == ["tree", "x.aci"]
    assert stat.S_IMODE(os.stat(tmp_path / "x.aci").st_mode) == 0o666 & ~umask()
    with pytest.raises(ArchiveError, match="socket"), socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tree / "s"))
        build(str(tree), manifest, str(tmp_path / "y.aci"))
    assert sorted(os.listdir(tmp_path)) == ["tree", "x.aci"]


def umask():
    found = os.umask(0)
    os.umask(found)
    return found


def test_whoever_is_killed_leaves_nothing(tmp_path, tree, manifest):
    """Where the file system knows files without a name, as all that Linux boots from do."""
    try:
        os.close(os.open(tmp_path, os.O_WRONLY | os.O_TMPFILE))
    except OSError:
        pytest.skip("missing ability: files without a name on the file system of the tests")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:

        def told(_done, _total):
            os.write(writer, b"x")
            signal.pause()

        try:
            with open_source(str(tree)) as source:
                build(source, manifest, str(tmp_path / "x.aci"), overwrite=True, progress=told)
        finally:
            os._exit(1)
    assert os.read(reader, 1) == b"x"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reader)
    os.close(writer)
    assert os.listdir(tmp_path) == ["tree"]


def test_output_in_the_tree(tree, manifest):
    for place in (tree / "x.aci", tree / "bin" / "x.aci"):
        with pytest.raises(UsageError, match="in the tree"):
            build(str(tree), manifest, str(place))


@pytest.mark.parametrize("change", ["grow", "shrink"])
def test_a_file_that_changes_is_noticed(tmp_path, tree, manifest, monkeypatch, change):
    from _rocket.image import source_directory as module

    real = module._content

    def content(fd, size, name):
        if name == b"rootfs/bin/b":
            os.truncate(tree / "bin" / "b", size + (1 if change == "grow" else -1))
        return real(fd, size, name)

    monkeypatch.setattr(module, "_content", content)
    with pytest.raises(ArchiveError, match="changed"):
        build(str(tree), manifest, str(tmp_path / "x.aci"))


def test_unknown_compression(tmp_path, tree, manifest):
    with pytest.raises(UsageError):
        build(str(tree), manifest, str(tmp_path / "x.aci"), "lz4")


@pytest.mark.spec("A5")
@pytest.mark.parametrize("compression", ["gzip", "bzip2", "xz", "none"])
def test_actool_accepts_it(program, tmp_path, tree, manifest, compression):
    actool = program("actool")
    build(str(tree), manifest, str(tmp_path / "x.aci"), compression)
    done = subprocess.run([actool, "--debug", "validate", str(tmp_path / "x.aci")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "valid app container image" in done.stdout + done.stderr


@pytest.mark.parametrize(
    "entry",
    [
        Entry(name=b"rootfs/" + b"x" * 93, kind="file", mtime_ns=1),
        Entry(name=b"rootfs/" + b"x" * 94, kind="file", mode=0o7777),
        Entry(name=b"d" * 155 + b"/" + b"x" * 100, kind="file"),
        Entry(name=b"d" * 156 + b"/" + b"x" * 100, kind="file"),
        Entry(name=b"d" * 155 + b"/" + b"x" * 101, kind="file"),
        Entry(name=b"d" * 150 + b"/", kind="directory"),
        Entry(name=b"a" * 50 + b"/" + b"b" * 49 + b"/" + b"c" * 30 + b"/", kind="directory"),
        Entry(name=b"x", kind="symlink", link=b"y" * 101, mtime_ns=-1),
        Entry(name=b"x", kind="file", uid=8**7 - 1, gid=8**7, mtime_ns=8**11 * 10**9),
        Entry(name=b"x", kind="file", xattrs=((b"user.a", b"v" * 960), (b"user.b", b"v" * 70), (b"user.c", b""))),
        Entry(name=b"x", kind="char", device=(8**7 - 1, 5)),
        Entry(name=b"x", kind="symlink", link=b"\xff" * 200),
        Entry(name=b"x", kind="file", mtime_ns=-1_500_000_001),
        *[Entry(name=b"n" * size, kind="file", link=b"") for size in (980, 981, 982, 983, 984, 985)],
    ],
)
def test_every_header_is_read_back(entry):
    found = list(Reader(iter([header(entry) + ZEROS])).entries())
    assert found == [entry]


def test_a_size_over_8_gib_is_read_back():
    size = 8**11
    reader = Reader(iter([header(Entry(name=b"x", kind="file", size=size))]))
    assert next(reader.entries()).size == size
