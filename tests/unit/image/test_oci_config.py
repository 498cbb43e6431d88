# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The configuration of an OCI image as an image manifest: what maps to what, what is dropped and told, who the user is."""

from __future__ import annotations

import json
import re

import pytest
from image_archives import directory, file, symlink
from layered import layer, made_of
from oci_images import Image, sha256

from _rocket.errors import RocketError, SpecError
from _rocket.image.check import inspect
from _rocket.image.oci_config import CAPABILITIES, Owner, image_manifest, parse_config
from _rocket.image.oci_users import owner_of
from _rocket.spec.image_manifest import ImageManifest
from _rocket.spec.oci_reference import named

PASSWD = b"root:x:0:3:root:/:/bin/sh\napp:x:10:20::/srv:/bin/sh\nshort:x:1\n2000:x:0:0::/:/bin/sh\n#:x\n"
GROUP = b"wheel:x:33:root,app\nweb:x:20:\nusers:x:100:other,app\nbad:x:z:app\napp2:x:44:app2\n"


def parse(config=None, **members):
    value = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}, "config": config, **members}
    data = json.dumps(value).encode()
    return parse_config(data, sha256(data))


def manifest(config=None, **members):
    made, dropped = image_manifest(parse(config, **members), named("example.com/app:1.0"), Owner())
    assert ImageManifest.from_json(made.to_json()) == made
    return made, dropped


def test_everything_at_once():
    made, dropped = manifest(
        {
            "User": "app",
            "Env": ["PATH=/bin", "A=1", "B=x=y", "A=2"],
            "Entrypoint": ["/bin/app", "-v"],
            "Cmd": ["run"],
            "WorkingDir": "/srv//app/",
            "ExposedPorts": {"443": {}, "53/udp": {}, "80/tcp": {}, "8000-8010/tcp": {}},
            "Volumes": {"/var/lib/Data_1": {}, "/var/lib/data-1": {}, "/data/": {}, "/data": {}},
            "Labels": {"Any key": "any value", "org.opencontainers.image.url": "https://example.com/", "k": None},
            "StopSignal": "SIGQUIT",
            "Healthcheck": {"Test": ["CMD", "x"], "Interval": 30000000000},
            "OnBuild": ["RUN x"],
            "Shell": ["/bin/bash"],
            "ArgsEscaped": True,
        },
        created="2026-01-02T03:04:05.123456789Z",
        author="Somebody <some@example.com>",
        history=[{"created_by": "x"}],
        variant="v2",
    )
    assert dropped == ()
    value = made.to_json()
    config = dict(made.annotations)["appc.rocket/oci/config"]
    assert re.fullmatch("sha256:[0-9a-f]{64}", config)
    assert value == {
        "acKind": "ImageManifest",
        "acVersion": "0.8.11",
        "name": "example.com/app",
        "labels": [{"name": "version", "value": "1.0"}, {"name": "os", "value": "linux"}, {"name": "arch", "value": "amd64"}],
        "annotations": [
            {"name": name, "value": text}
            for name, text in [
                ("appc.rocket/oci/config", config),
                ("appc.rocket/oci/healthcheck", '{"Interval":30000000000,"Test":["CMD","x"]}'),
                ("appc.rocket/oci/stop-signal", "SIGQUIT"),
                ("appc.rocket/oci/variant", "v2"),
                ("authors", "Somebody <some@example.com>"),
                ("created", "2026-01-02T03:04:05.123456789Z"),
                ("homepage", "https://example.com/"),
            ]
        ],
        "app": {
            "exec": ["/bin/app", "-v", "run"],
            "user": "0",
            "group": "0",
            "workingDirectory": "/srv/app",
            "environment": [{"name": "PATH", "value": "/bin"}, {"name": "A", "value": "2"}, {"name": "B", "value": "x=y"}],
            "isolators": [{"name": "os/linux/capabilities-retain-set", "value": {"set": list(CAPABILITIES)}}],
            "mountPoints": [
                {"name": "volume-data", "path": "/data"},
                {"name": "volume-var-lib-data-1", "path": "/var/lib/Data_1"},
                {"name": "volume-var-lib-data-1-2", "path": "/var/lib/data-1"},
            ],
            "ports": [
                {"name": "53-udp", "protocol": "udp", "port": 53},
                {"name": "80-tcp", "protocol": "tcp", "port": 80},
                {"name": "443-tcp", "protocol": "tcp", "port": 443},
                {"name": "8000-8010-tcp", "protocol": "tcp", "port": 8000, "count": 11},
            ],
            "userLabels": {"Any key": "any value", "org.opencontainers.image.url": "https://example.com/", "k": ""},
        },
    }


def test_the_eleven_capabilities_of_the_security_page():
    """0x800405fb: what podman 4.3 leaves an app."""
    from _rocket.run.linux.capabilities import mask
    from _rocket.spec.isolators import DEFAULT_CAPABILITIES

    assert mask(list(CAPABILITIES)) == 0x800405FB
    assert set(DEFAULT_CAPABILITIES) - set(CAPABILITIES) == {"CAP_AUDIT_WRITE", "CAP_MKNOD", "CAP_NET_RAW"}


@pytest.mark.parametrize(
    "config", [None, {}, {"Cmd": None, "Entrypoint": None, "Env": None, "User": "", "WorkingDir": "", "Volumes": None}]
)
def test_nothing_said(config):
    made = manifest(config)[0]
    assert (made.app.exec, made.app.user, made.app.group, made.app.working_directory, made.app.environment) == ((), "0", "0", "/", ())


def test_cmd_alone_is_the_command():
    assert manifest({"Cmd": ["/bin/sh", "-c", ""]})[0].app.exec == ("/bin/sh", "-c", "")


@pytest.mark.parametrize(
    ("config", "dropped"),
    [
        ({"Env": ["A B=1", "X=1"]}, "config.Env[0] is no variable of an app (M11)"),
        ({"Env": ["NAME"]}, "config.Env[0] is no variable of an app (M11)"),
        ({"Env": ["=1"]}, "config.Env[0] is no variable of an app (M11)"),
        ({"Env": ["1A=1"]}, "config.Env[0] is no variable of an app (M11)"),
        ({"Env": ["\u00e4=1"]}, "config.Env[0] is no variable of an app (M11)"),
        ({"ExposedPorts": {"0/tcp": {}}}, 'config.ExposedPorts["0/tcp"] is no port (M14)'),
        ({"ExposedPorts": {"65536/tcp": {}}}, 'config.ExposedPorts["65536/tcp"] is no port (M14)'),
        ({"ExposedPorts": {"80/icmp": {}}}, 'config.ExposedPorts["80/icmp"] is no port (M14)'),
        ({"ExposedPorts": {"90-80/tcp": {}}}, 'config.ExposedPorts["90-80/tcp"] is no port (M14)'),
        ({"ExposedPorts": {"http": {}}}, 'config.ExposedPorts["http"] is no port (M14)'),
        ({"Volumes": {"data": {}}}, 'config.Volumes["data"] is no path below the root (M13)'),
        ({"Volumes": {"/": {}}}, 'config.Volumes["/"] is no path below the root (M13)'),
        ({"Volumes": {"/a/../b": {}}}, 'config.Volumes["/a/../b"] is no path below the root (M13)'),
    ],
)
def test_what_cannot_be_said_is_dropped_and_told(config, dropped):
    assert manifest(config)[1] == (dropped,)


@pytest.mark.parametrize("created", ["yesterday", "", "2026-02-30T00:00:00Z"])
def test_a_time_that_is_none_is_left_out(created):
    assert not any(name == "created" for name, _value in manifest(created=created)[0].annotations)


REFUSED = {
    "windows": ({"os": "windows"}, "linux was expected"),
    "no os": ({"os": None}, "is required"),
    "no architecture": ({"architecture": None}, "is required"),
    "an architecture without a label": ({"architecture": "mips64le"}, "has a label here"),
    "a variant without a label": ({"architecture": "arm", "variant": "v5"}, "variant v5"),
    "no rootfs": ({"rootfs": None}, "is required"),
    "another kind of rootfs": ({"rootfs": {"type": "blocks", "diff_ids": []}}, "layers was expected"),
    "a short diff ID": ({"rootfs": {"type": "layers", "diff_ids": ["sha256:ab"]}}, "lower-case"),
    "10 000 layers": ({"rootfs": {"type": "layers", "diff_ids": ["sha256:" + "a" * 64] * 10_000}}, "at most 256"),
    "a config that is a list": ({"config": []}, "an object was expected"),
    "NUL": ({"author": "a\0b"}, "without NUL"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    members, words = REFUSED[name]
    with pytest.raises(SpecError) as caught:
        parse(**members)
    assert re.search(words, str(caught.value)) and str(caught.value).startswith("image configuration"), str(caught.value)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"WorkingDir": "srv"}, "M10"),
        ({"WorkingDir": "/srv/../etc"}, "M10"),
        ({"Entrypoint": [""]}, "M6"),
        ({"Entrypoint": "sh"}, "a list was expected"),
        ({"Env": {"A": "1"}}, "a list was expected"),
        ({"Env": [1]}, "a string was expected"),
        ({"Labels": {"a": 1}}, "a string was expected"),
        ({"ExposedPorts": []}, "an object was expected"),
    ],
)
def test_what_cannot_be_left_out_is_refused(config, words):
    with pytest.raises(SpecError) as caught:
        manifest(config)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("user", "owner"),
    [
        ("", Owner("0", "0")),
        (":5", Owner("0", "5")),
        ("app", Owner("app", "20", (33, 100))),
        ("app:", Owner("app", "20", (33, 100))),
        ("10", Owner("10", "20", (33, 100))),
        ("010", Owner("010", "20", (33, 100))),
        ("0", Owner("0", "3", (33,))),
        ("root", Owner("root", "3", (33,))),
        ("app:web", Owner("app", "web")),
        ("app:0", Owner("app", "0")),
        ("10:99", Owner("10", "99")),
        ("999", Owner("999", "0")),
        ("999:998", Owner("999", "998")),
        ("2000", Owner("2000", "0")),
    ],
)
def test_users(user, owner):
    assert owner_of(user, PASSWD, GROUP) == (owner, ())


@pytest.mark.parametrize("user", ["a:b:c", "/etc/passwd", "app:/etc", "4294967296", "2147483647", "0:4294967295"])
def test_users_that_are_none(user):
    with pytest.raises(SpecError) as caught:
        owner_of(user, PASSWD, GROUP)
    assert caught.value.path == "config.User"


def test_a_user_whom_the_image_does_not_know_is_told():
    owner, told = owner_of("nobody", PASSWD, GROUP)
    assert owner == Owner("nobody", "0")
    assert told == ("config.User: the image knows no user nobody (M7)",)


def manifest_of(tmp_path, *layers, **config):
    data, told = made_of(tmp_path, Image(*layers, config=config))
    (tmp_path / "made.aci").write_bytes(data)
    return inspect(str(tmp_path / "made.aci")).manifest, told


def test_the_user_is_looked_up_in_the_files_that_all_layers_leave(tmp_path):
    first = layer(directory(b"etc/"), file(b"etc/passwd", b"app:x:1:1::/:\n"))
    made, told = manifest_of(tmp_path, first, layer(file(b"etc/passwd", PASSWD), file(b"etc/group", GROUP)), User="app")
    assert (made.app.user, made.app.group, made.app.supplementary_gids, told.warnings) == ("app", "20", (33, 100), ())


@pytest.mark.parametrize(
    "table",
    [
        symlink(b"etc/passwd", b"/proc/self/environ"),
        symlink(b"etc/passwd", b"other"),
        directory(b"etc/passwd/"),
        file(b"etc/passwd", b"app:x:1:1::/:\n" + b"#" * (1 << 20)),
    ],
)
def test_a_table_of_users_that_is_no_small_file_is_none(tmp_path, table):
    made, told = manifest_of(tmp_path, layer(directory(b"etc/"), file(b"etc/other", PASSWD), table), User="app")
    assert (made.app.user, made.app.group) == ("app", "0")
    assert told.warnings == ("config.User: the image knows no user app (M7)",)


def test_a_working_directory_that_is_missing_is_made(tmp_path, unpack):
    data, _told = made_of(
        tmp_path, Image(layer(symlink(b"srv", b"var/srv"), directory(b"var/srv/")), config={"WorkingDir": "/srv/app/run"})
    )
    unpack(data)
    assert unpack.at(b"var", b"srv", b"app", b"run").st_mode == 0o40755


@pytest.mark.parametrize("members", [[file(b"srv")], [symlink(b"srv", b"srv")], [symlink(b"srv", b"/nowhere")]])
def test_a_working_directory_that_cannot_be_made_is_left_to_the_launch(tmp_path, members):
    made, _told = manifest_of(tmp_path, layer(*members), WorkingDir="/srv/app")
    assert made.app.working_directory == "/srv/app"


def test_a_manifest_over_the_limit_is_refused(tmp_path):
    with pytest.raises(RocketError) as caught:
        made_of(tmp_path, Image(layer(), config={"Labels": {"a": "b" * (1 << 20)}}))
    assert caught.value.code == "archive-limit"
