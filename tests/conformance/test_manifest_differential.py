# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Our reading of manifests against that of the specification's own library (`actool validate`, Debian's appc-spec).

Every row says what we do, and, where the library does otherwise, by which rule of docs/spec-conformance.md that is meant.
"""

from __future__ import annotations

import copy
import json

import actool
import pytest

from _rocket.errors import SpecError
from _rocket.spec.image_manifest import parse_image_manifest
from _rocket.spec.pod_manifest import parse_pod_manifest

ID = "sha512-" + "0123456789abcdef" * 8
APP = {"exec": ["/bin/sh"], "user": "0", "group": "0"}
IMAGE = {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/app"}
POD = {"acKind": "PodManifest", "acVersion": "0.8.11", "apps": [{"name": "web", "image": {"id": ID}}]}
GONE = object()
MEMORY = {"name": "resource/memory", "value": {"limit": "1G"}}
EMPTY = {"name": "data", "kind": "empty"}
WWW = {"name": "www", "protocol": "tcp", "port": 80}


def image(**changes):
    return _changed(IMAGE, changes)


def app(**changes):
    return image(app=_changed(APP, changes))


def pod(**changes):
    return _changed(POD, changes)


def pod_app(**changes):
    return pod(apps=[_changed(POD["apps"][0], changes)])


def _changed(base, changes):
    value = {**copy.deepcopy(base), **changes}
    return {name: item for name, item in value.items() if item is not GONE}


def isolators(*pairs):
    return app(isolators=[{"name": name, "value": value} for name, value in pairs])


def memory(limit):
    return isolators(("resource/memory", {"limit": limit}))


def volume(**members):
    return pod(volumes=[{"name": "data", **members}])


def exposed(*ports):
    return pod(apps=[{**POD["apps"][0], "app": {**APP, "ports": [WWW]}}], ports=list(ports))


SYSCALLS = "os/linux/seccomp-remove-set"
RETAIN = "os/linux/capabilities-retain-set"
REMOVE = "os/linux/capabilities-remove-set"

# What, the manifest, and the rule by which we accept ("+") or refuse ("-") what the library does not; "" = we agree.
ROWS = [
    ("smallest image", image(), ""),
    ("app", app(), ""),
    ("app null", image(app=None), ""),
    ("unknown member", image(further={"x": [1]}), ""),
    ("wrong kind", image(acKind="Other"), ""),
    ("no kind", image(acKind=GONE), ""),
    ("kind in the wrong case", {**image(acKind=GONE), "ackind": "ImageManifest"}, "-M1: member names are exact"),
    ("no acVersion", image(acVersion=GONE), ""),
    ("acVersion 0.0.0", image(acVersion="0.0.0"), ""),
    ("acVersion 0.7.4+git", image(acVersion="0.7.4+git"), ""),
    ("acVersion 9.9.9", image(acVersion="9.9.9"), "-T4"),
    ("acVersion 01.2.3", image(acVersion="01.2.3"), "-T4"),
    ("acVersion 0.8", image(acVersion="0.8"), ""),
    ("no name", image(name=GONE), ""),
    ("upper-case name", image(name="Example.com"), ""),
    ("trailing dash", image(name="example-"), ""),
    ("doubled separator", image(name="a--b"), "-T1"),
    ("name that climbs", image(name="a/../b"), "-T1"),
    ("home of a user", image(name="example.com/~user/app_v1"), ""),
    ("labels", image(labels=[{"name": "os", "value": "linux"}, {"name": "arch", "value": "amd64"}]), ""),
    ("label name", image(labels=[{"name": "name", "value": "x"}]), ""),
    ("label twice", image(labels=[{"name": "a", "value": "1"}, {"name": "a", "value": "2"}]), ""),
    ("label without value", image(labels=[{"name": "a"}]), "-T9"),
    ("label without name", image(labels=[{"value": "a"}]), "-T9"),
    ("os unknown", image(labels=[{"name": "os", "value": "plan9"}]), ""),
    ("arch unknown", image(labels=[{"name": "os", "value": "linux"}, {"name": "arch", "value": "x86"}]), ""),
    ("arch without os", image(labels=[{"name": "arch", "value": "pdp11"}]), ""),
    ("riscv64", image(labels=[{"name": "os", "value": "linux"}, {"name": "arch", "value": "riscv64"}]), "+T10"),
    ("created", image(annotations=[{"name": "created", "value": "2026-02-28T10:00:00.5+01:00"}]), ""),
    ("created on an impossible day", image(annotations=[{"name": "created", "value": "2026-02-29T10:00:00Z"}]), ""),
    ("created in lower case", image(annotations=[{"name": "created", "value": "2026-02-28t10:00:00z"}]), ""),
    ("homepage ftp", image(annotations=[{"name": "homepage", "value": "ftp://example.com"}]), ""),
    ("homepage without host", image(annotations=[{"name": "homepage", "value": "http://"}]), "-T11"),
    ("notify maybe", image(annotations=[{"name": "appc.io/executor/supports-systemd-notify", "value": "maybe"}]), "-T11"),
    ("annotation twice", image(annotations=[{"name": "a", "value": ""}] * 2), ""),
    ("dependency", image(dependencies=[{"imageName": "example.com/base", "imageID": ID, "size": 22}]), ""),
    ("dependency with a short ID", image(dependencies=[{"imageName": "example.com/base", "imageID": "sha512-abc"}]), "-T5"),
    ("dependency without name", image(dependencies=[{"imageID": ID}]), ""),
    ("dependency of size -1", image(dependencies=[{"imageName": "a", "size": -1}]), ""),
    ("dependency of size 0", image(dependencies=[{"imageName": "a", "size": 0}]), "-M16"),
    ("white list", image(pathWhitelist=["/etc/passwd", "/usr/"]), ""),
    ("relative white list", image(pathWhitelist=["etc"]), "-M17"),
    ("no exec", app(exec=GONE), ""),
    ("bare exec", app(exec=["sh"]), ""),
    ("no user", app(user=GONE), ""),
    ("empty group", app(group=""), ""),
    ("user of a file", app(user="/etc/passwd"), ""),
    ("gids", app(supplementaryGIDs=[1, 2]), ""),
    ("negative gid", app(supplementaryGIDs=[-1]), "-M8"),
    ("gid as fraction", app(supplementaryGIDs=[1.0]), ""),
    ("pre-start", app(eventHandlers=[{"name": "pre-start", "exec": ["/bin/x"]}]), ""),
    ("pre-start twice", app(eventHandlers=[{"name": "pre-start", "exec": ["/bin/x"]}] * 2), ""),
    ("event unknown", app(eventHandlers=[{"name": "pre-stop", "exec": ["/bin/x"]}]), ""),
    ("event without program", app(eventHandlers=[{"name": "pre-start", "exec": []}]), "-M9"),
    ("workingDirectory", app(workingDirectory="/srv"), ""),
    ("relative workingDirectory", app(workingDirectory="srv"), ""),
    ("empty workingDirectory", app(workingDirectory=""), ""),
    ("workingDirectory that climbs", app(workingDirectory="/a/../b"), "-M10: no path with .. reaches a system call"),
    ("variable", app(environment=[{"name": "A.b-c_9", "value": "x"}]), ""),
    ("variable with a digit first", app(environment=[{"name": "9A", "value": "x"}]), ""),
    ("variable twice", app(environment=[{"name": "A", "value": "x"}] * 2), ""),
    ("variable without value", app(environment=[{"name": "A"}]), "-M11"),
    ("mountPoint", app(mountPoints=[{"name": "data", "path": "/data", "readOnly": True}]), ""),
    ("mountPoint relative", app(mountPoints=[{"name": "data", "path": "data"}]), "-M13"),
    ("mountPoint twice", app(mountPoints=[{"name": "data", "path": "/data"}] * 2), "-M13"),
    ("port", app(ports=[{**WWW, "count": 3, "socketActivated": True}]), ""),
    ("port 0", app(ports=[{**WWW, "port": 0}]), ""),
    ("port range too long", app(ports=[{**WWW, "port": 65535, "count": 2}]), ""),
    ("port count 0", app(ports=[{**WWW, "count": 0}]), "-M14"),
    ("port protocol unknown", app(ports=[{**WWW, "protocol": "quic"}]), "-M14"),
    ("userLabels with a number", app(userLabels={"a": 1}), ""),
    ("isolator unknown", isolators(("example.com/color", "red")), "+M12"),
    ("isolator without value", app(isolators=[{"name": "resource/memory"}]), "-T6"),
    ("memory", memory("1G"), ""),
    ("memory in Gi", memory("1.5Gi"), ""),
    ("memory 1000K", memory("1000K"), "+I4"),
    ("memory plain", memory(4096000), ""),
    ("memory .5", isolators(("resource/cpu", {"limit": ".5"})), ""),
    ("cpu 5.", isolators(("resource/cpu", {"limit": "5."})), "-I4"),
    ("cpu 1e3", isolators(("resource/cpu", {"limit": "1e3"})), ""),
    ("memory -1", memory("-1"), "-I4"),
    ("memory overflow", memory("1000000000000E"), "-I4"),
    ("memory 1GB", memory("1GB"), ""),
    ("memory 1ki", memory("1ki"), ""),
    ("memory 16m", memory("16m"), "-I3: below 4096 bytes"),
    ("request above limit", isolators(("resource/cpu", {"request": "2", "limit": "1"})), "-I3"),
    ("cpu with default", isolators(("resource/cpu", {"default": True, "limit": "1"})), ""),
    ("block without default", isolators(("resource/block-iops", {"limit": "100"})), ""),
    ("block without limit", isolators(("resource/block-iops", {"default": True})), "-I3"),
    ("memory twice", app(isolators=[MEMORY, MEMORY]), "-I5"),
    ("capabilities", isolators((RETAIN, {"set": ["CAP_NET_ADMIN"]})), ""),
    ("no capabilities", isolators((RETAIN, {"set": []})), ""),
    ("capability unknown", isolators((RETAIN, {"set": ["CAP_FLY"]})), "-I5"),
    ("both capability sets", isolators((RETAIN, {"set": ["CAP_KILL"]}), (REMOVE, {"set": ["CAP_KILL"]})), "-I5"),
    ("seccomp", isolators((SYSCALLS, {"set": ["reboot"], "errno": "ENOTSUP"})), ""),
    ("seccomp twice", isolators((SYSCALLS, {"set": ["reboot"]}), (SYSCALLS, {"set": ["swapon"]})), ""),
    ("seccomp empty", isolators((SYSCALLS, {"set": []})), ""),
    ("errno in lower case", isolators((SYSCALLS, {"set": ["reboot"], "errno": "eperm"})), ""),
    ("errno unknown", isolators((SYSCALLS, {"set": ["reboot"], "errno": "EFOO"})), "-I5"),
    ("oom-score-adj", isolators(("os/linux/oom-score-adj", -1000)), ""),
    ("oom-score-adj 1001", isolators(("os/linux/oom-score-adj", 1001)), ""),
    ("cpu-shares 1", isolators(("os/linux/cpu-shares", 1)), ""),
    ("no-new-privileges", isolators(("os/linux/no-new-privileges", True)), ""),
    ("no-new-privileges as text", isolators(("os/linux/no-new-privileges", "true")), ""),
    ("selinux", isolators(("os/linux/selinux-context", {"user": "u", "role": "r", "type": "t", "level": "s0:c1"})), ""),
    ("selinux with a colon", isolators(("os/linux/selinux-context", {"user": "u:", "role": "r", "type": "t", "level": "s0"})), ""),
    ("apparmor empty", isolators(("os/linux/apparmor-profile", {"profile": ""})), ""),
    ("sysctl on an app", isolators(("os/unix/sysctl", {"net.core.somaxconn": "1"})), "-I5"),
    ("smallest pod", pod(), ""),
    ("pod without acVersion", pod(acVersion=GONE), "-P4"),
    ("pod without apps", pod(apps=GONE), "-P4"),
    ("pod of no apps", pod(apps=[]), "-P4"),
    ("app names twice", pod(apps=POD["apps"] * 2), ""),
    ("pod app without image", pod_app(image=GONE), "-P5"),
    ("pod app with a short ID", pod_app(image={"id": "sha512-abc"}), "-T5"),
    ("pod app with sha256", pod_app(image={"id": "sha256-" + "0" * 64}), ""),
    ("mount", {**pod_app(mounts=[{"volume": "data", "path": "/d"}]), "volumes": [EMPTY]}, ""),
    ("mount of no volume", pod_app(mounts=[{"volume": "data", "path": "/d"}]), "-P8"),
    ("mount relative", {**pod_app(mounts=[{"volume": "data", "path": "d"}]), "volumes": [EMPTY]}, "-P8"),
    ("mounts nested", {**pod_app(mounts=[{"volume": "data", "path": p} for p in ("/d", "/d/e")]), "volumes": [EMPTY]}, "-P16"),
    ("annotation of an identifier", pod_app(annotations=[{"name": "a/b", "value": ""}]), ""),
    ("volume empty", volume(kind="empty", mode="0700", uid=1, gid=2), ""),
    ("volume host", volume(kind="host", source="/srv", recursive=False), ""),
    ("volume host relative", volume(kind="host", source="srv"), ""),
    ("volume host with mode", volume(kind="host", source="/srv", mode="0755"), ""),
    ("volume empty with source", volume(kind="empty", source="/srv"), ""),
    ("volume empty recursive", volume(kind="empty", recursive=True), "-P10"),
    ("volume of mode 0999", volume(kind="empty", mode="0999"), "-P10"),
    ("volume of uid -1", volume(kind="empty", uid=-1), "-P10"),
    ("volume that climbs", volume(kind="host", source="/a/../b"), "-P10"),
    ("volume of unknown kind", volume(kind="tmpfs"), ""),
    ("pod isolators twice", pod(isolators=[MEMORY, MEMORY]), "-I5"),
    ("app isolator on a pod", pod(isolators=[{"name": RETAIN, "value": {"set": ["CAP_KILL"]}}]), "-P11"),
    ("isolator of a pod", pod(isolators=[MEMORY]), ""),
    ("exposed port", exposed({"name": "www", "hostPort": 8080, "hostIP": "203.0.113.23"}), ""),
    ("exposed port 0", exposed({"name": "www", "hostPort": 0}), "-P12"),
    ("exposed port 70000", exposed({"name": "www", "hostPort": 70000}), "-P12"),
    ("exposed port unknown", exposed({"name": "ftp", "hostPort": 21}), "-P12"),
    ("exposed port twice", exposed(*[{"name": "www", "hostPort": 80}] * 2), "-P12"),
    ("hostIP that is none", exposed({"name": "www", "hostPort": 80, "hostIP": "203.0.113.256"}), ""),
]
TWICE = json.dumps(image()).replace('"name"', '"name": "example.com/other", "name"')


def ours(data: bytes, kind: str) -> str:
    """Return the empty string where we accept the manifest, else our error."""
    try:
        (parse_pod_manifest if "Pod" in kind else parse_image_manifest)(data)
    except SpecError as error:
        return str(error)
    return ""


@pytest.fixture(scope="module")
def library(tmp_path_factory, program):
    """Ask the library about documents."""
    place = tmp_path_factory.mktemp("actool")
    found = program("actool")

    def validate(*documents: bytes) -> list[actool.Verdict]:
        paths = [place / str(number) for number in range(len(documents))]
        for path, document in zip(paths, documents):
            path.write_bytes(document)
        return actool.validate(found, paths)

    return validate


def test_agrees_with_the_library_or_says_why(library):
    documents = [json.dumps(value).encode() for _what, value, _difference in ROWS]
    wrong = []
    for (what, value, difference), document, verdict in zip(ROWS, documents, library(*documents)):
        we = ours(document, str(value.get("acKind")))
        if not difference:
            right = bool(we) != verdict.accepted
        elif difference[0] == "+":
            right = not we and not verdict.accepted
        else:
            right = f"({difference[1:].partition(':')[0]})" in we and (verdict.accepted or verdict.crashed)
        if not right:
            wrong.append(f"{what}: {difference or 'we agree'}; ours: {we or 'accepted'}; the library: {verdict}")
    assert wrong == []


def test_a_member_given_twice_is_refused_where_the_library_takes_the_last(library):
    assert "given twice" in ours(TWICE.encode(), "ImageManifest")
    assert library(TWICE.encode()) == [actool.Verdict(True)]


def test_the_library_is_asked_again_behind_what_ends_it(library):
    good, crash, no_manifest = (
        json.dumps(value).encode() for value in (image(), app(isolators=[{"name": "resource/memory"}]), image(acKind="Other"))
    )
    verdicts = library(good, crash, good, no_manifest, b"{", crash, crash, good)
    assert [verdict.accepted for verdict in verdicts] == [True, False, True, False, False, False, False, True]
    assert [verdict.crashed for verdict in verdicts] == [False, True, False, False, False, True, True, False]


def test_every_row_has_a_name_of_its_own():
    names = [what for what, _ignored, _ignored in ROWS]
    assert len(names) == len(set(names))
