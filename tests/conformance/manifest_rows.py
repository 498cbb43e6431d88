# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Manifests picked by hand, one for each thing that our reading and the library's could see in different ways."""

from __future__ import annotations

import copy
import json

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

# What, the manifest (or the document), and the name of the deliberate difference that it shows; "" = we agree.
ROWS = [
    ("smallest image", image(), ""),
    ("app", app(), ""),
    ("app null", image(app=None), ""),
    ("unknown member", image(further={"x": [1]}), ""),
    ("wrong kind", image(acKind="Other"), ""),
    ("no kind", image(acKind=GONE), "a manifest without a kind"),
    ("kind in the wrong case", {**image(acKind=GONE), "ackind": "ImageManifest"}, "a member name in another case"),
    ("no acVersion", image(acVersion=GONE), ""),
    ("acVersion 0.0.0", image(acVersion="0.0.0"), ""),
    ("acVersion 0.7.4+git", image(acVersion="0.7.4+git"), ""),
    ("acVersion 9.9.9", image(acVersion="9.9.9"), "an acVersion that is none, or not compatible"),
    ("acVersion 01.2.3", image(acVersion="01.2.3"), "an acVersion that is none, or not compatible"),
    ("acVersion 0.8", image(acVersion="0.8"), ""),
    ("no name", image(name=GONE), ""),
    ("upper-case name", image(name="Example.com"), ""),
    ("trailing dash", image(name="example-"), ""),
    ("doubled separator", image(name="a--b"), "two separators side by side in an identifier"),
    ("name that climbs", image(name="a/../b"), "two separators side by side in an identifier"),
    ("home of a user", image(name="example.com/~user/app_v1"), ""),
    ("labels", image(labels=[{"name": "os", "value": "linux"}, {"name": "arch", "value": "amd64"}]), ""),
    ("label name", image(labels=[{"name": "name", "value": "x"}]), ""),
    ("label twice", image(labels=[{"name": "a", "value": "1"}, {"name": "a", "value": "2"}]), ""),
    ("label without value", image(labels=[{"name": "a"}]), "a label without name or value"),
    ("label without name", image(labels=[{"value": "a"}]), "a label without name or value"),
    ("os unknown", image(labels=[{"name": "os", "value": "plan9"}]), ""),
    ("arch unknown", image(labels=[{"name": "os", "value": "linux"}, {"name": "arch", "value": "x86"}]), ""),
    ("arch without os", image(labels=[{"name": "arch", "value": "pdp11"}]), ""),
    ("riscv64", image(labels=[{"name": "os", "value": "linux"}, {"name": "arch", "value": "riscv64"}]), "riscv64"),
    ("created", image(annotations=[{"name": "created", "value": "2026-02-28T10:00:00.5+01:00"}]), ""),
    ("created on an impossible day", image(annotations=[{"name": "created", "value": "2026-02-29T10:00:00Z"}]), ""),
    ("created in lower case", image(annotations=[{"name": "created", "value": "2026-02-28t10:00:00z"}]), ""),
    ("homepage ftp", image(annotations=[{"name": "homepage", "value": "ftp://example.com"}]), ""),
    ("homepage without host", image(annotations=[{"name": "homepage", "value": "http://"}]), "a web address without a host"),
    (
        "notify maybe",
        image(annotations=[{"name": "appc.io/executor/supports-systemd-notify", "value": "maybe"}]),
        "a string boolean that is none",
    ),
    ("annotation twice", image(annotations=[{"name": "a", "value": ""}] * 2), ""),
    ("dependency", image(dependencies=[{"imageName": "example.com/base", "imageID": ID, "size": 22}]), ""),
    (
        "dependency with a short ID",
        image(dependencies=[{"imageName": "example.com/base", "imageID": "sha512-abc"}]),
        "an image ID without all of its digits",
    ),
    ("dependency without name", image(dependencies=[{"imageID": ID}]), ""),
    ("dependency of size -1", image(dependencies=[{"imageName": "a", "size": -1}]), ""),
    ("dependency of size 0", image(dependencies=[{"imageName": "a", "size": 0}]), "a dependency of no size"),
    ("whitelist", image(pathWhitelist=["/etc/passwd", "/usr/"]), ""),
    ("relative whitelist", image(pathWhitelist=["etc"]), "a path of the whitelist that is none"),
    ("no exec", app(exec=GONE), ""),
    ("bare exec", app(exec=["sh"]), ""),
    ("no user", app(user=GONE), ""),
    ("empty group", app(group=""), ""),
    ("user of a file", app(user="/etc/passwd"), ""),
    ("gids", app(supplementaryGIDs=[1, 2]), ""),
    ("negative gid", app(supplementaryGIDs=[-1]), "a group that no process can have"),
    ("gid as fraction", app(supplementaryGIDs=[1.0]), ""),
    ("pre-start", app(eventHandlers=[{"name": "pre-start", "exec": ["/bin/x"]}]), ""),
    ("pre-start twice", app(eventHandlers=[{"name": "pre-start", "exec": ["/bin/x"]}] * 2), ""),
    ("event unknown", app(eventHandlers=[{"name": "pre-stop", "exec": ["/bin/x"]}]), ""),
    ("event without program", app(eventHandlers=[{"name": "pre-start", "exec": []}]), "an event handler without a program"),
    ("workingDirectory", app(workingDirectory="/srv"), ""),
    ("relative workingDirectory", app(workingDirectory="srv"), ""),
    ("empty workingDirectory", app(workingDirectory=""), ""),
    ("workingDirectory that climbs", app(workingDirectory="/a/../b"), "a working directory with .."),
    ("variable", app(environment=[{"name": "A.b-c_9", "value": "x"}]), ""),
    ("variable with a digit first", app(environment=[{"name": "9A", "value": "x"}]), ""),
    ("variable twice", app(environment=[{"name": "A", "value": "x"}] * 2), ""),
    ("variable without value", app(environment=[{"name": "A"}]), "a variable without value"),
    ("mountPoint", app(mountPoints=[{"name": "data", "path": "/data", "readOnly": True}]), ""),
    ("mountPoint relative", app(mountPoints=[{"name": "data", "path": "data"}]), "a mountPoint at no path below the root"),
    ("mountPoint twice", app(mountPoints=[{"name": "data", "path": "/data"}] * 2), "two mountPoints of one name"),
    ("port", app(ports=[{**WWW, "count": 3, "socketActivated": True}]), ""),
    ("port 0", app(ports=[{**WWW, "port": 0}]), ""),
    ("port range too long", app(ports=[{**WWW, "port": 65535, "count": 2}]), ""),
    ("port count 0", app(ports=[{**WWW, "count": 0}]), "a port that counts none"),
    ("port protocol unknown", app(ports=[{**WWW, "protocol": "quic"}]), "a protocol that is not tcp, udp or sctp"),
    ("userLabels with a number", app(userLabels={"a": 1}), ""),
    ("isolator unknown", isolators(("example.com/color", "red")), "an isolator that nobody knows"),
    ("isolator without value", app(isolators=[{"name": "resource/memory"}]), "an isolator without value"),
    ("memory", memory("1G"), ""),
    ("memory in Gi", memory("1.5Gi"), ""),
    ("memory 1000K", memory("1000K"), "K for a thousand"),
    ("memory plain", memory(4096000), ""),
    ("memory .5", isolators(("resource/cpu", {"limit": ".5"})), ""),
    ("cpu 5.", isolators(("resource/cpu", {"limit": "5."})), "a quantity that ends in a point"),
    ("cpu 1e3", isolators(("resource/cpu", {"limit": "1e3"})), ""),
    ("memory -1", memory("-1"), "a quantity below zero"),
    ("memory overflow", memory("1000000000000E"), "a quantity above 2**63-1"),
    ("memory 1GB", memory("1GB"), ""),
    ("memory 1ki", memory("1ki"), ""),
    ("memory 16m", memory("16m"), "less memory than a page"),
    ("request above limit", isolators(("resource/cpu", {"request": "2", "limit": "1"})), "a request above the limit"),
    ("cpu with default", isolators(("resource/cpu", {"default": True, "limit": "1"})), ""),
    ("block without default", isolators(("resource/block-iops", {"limit": "100"})), ""),
    ("block without limit", isolators(("resource/block-iops", {"default": True})), "a resource without limit"),
    ("memory twice", app(isolators=[MEMORY, MEMORY]), "two isolators of one name"),
    ("capabilities", isolators((RETAIN, {"set": ["CAP_NET_ADMIN"]})), ""),
    ("no capabilities", isolators((RETAIN, {"set": []})), ""),
    ("capability unknown", isolators((RETAIN, {"set": ["CAP_FLY"]})), "a capability that no kernel knows"),
    ("both capability sets", isolators((RETAIN, {"set": ["CAP_KILL"]}), (REMOVE, {"set": ["CAP_KILL"]})), "both sets of capabilities"),
    ("seccomp", isolators((SYSCALLS, {"set": ["reboot"], "errno": "ENOTSUP"})), ""),
    ("seccomp twice", isolators((SYSCALLS, {"set": ["reboot"]}), (SYSCALLS, {"set": ["swapon"]})), ""),
    ("seccomp empty", isolators((SYSCALLS, {"set": []})), ""),
    ("errno in lower case", isolators((SYSCALLS, {"set": ["reboot"], "errno": "eperm"})), ""),
    ("errno unknown", isolators((SYSCALLS, {"set": ["reboot"], "errno": "EFOO"})), "an error that Linux does not know"),
    ("oom-score-adj", isolators(("os/linux/oom-score-adj", -1000)), ""),
    ("oom-score-adj 1001", isolators(("os/linux/oom-score-adj", 1001)), ""),
    ("cpu-shares 1", isolators(("os/linux/cpu-shares", 1)), ""),
    ("no-new-privileges", isolators(("os/linux/no-new-privileges", True)), ""),
    ("no-new-privileges as text", isolators(("os/linux/no-new-privileges", "true")), ""),
    ("selinux", isolators(("os/linux/selinux-context", {"user": "u", "role": "r", "type": "t", "level": "s0:c1"})), ""),
    ("selinux with a colon", isolators(("os/linux/selinux-context", {"user": "u:", "role": "r", "type": "t", "level": "s0"})), ""),
    ("apparmor empty", isolators(("os/linux/apparmor-profile", {"profile": ""})), ""),
    ("sysctl on an app", isolators(("os/unix/sysctl", {"net.core.somaxconn": "1"})), "an isolator of pods on an app"),
    ("smallest pod", pod(), ""),
    ("pod without acVersion", pod(acVersion=GONE), "a pod without acVersion or apps"),
    ("pod without apps", pod(apps=GONE), "a pod without acVersion or apps"),
    ("pod of no apps", pod(apps=[]), "a pod of no apps"),
    ("app names twice", pod(apps=POD["apps"] * 2), ""),
    ("pod app without image", pod_app(image=GONE), "an app of a pod without name, image or image ID"),
    ("pod app with a short ID", pod_app(image={"id": "sha512-abc"}), "an image ID without all of its digits"),
    ("pod app with sha256", pod_app(image={"id": "sha256-" + "0" * 64}), ""),
    ("mount", {**pod_app(mounts=[{"volume": "data", "path": "/d"}]), "volumes": [EMPTY]}, ""),
    ("mount of no volume", pod_app(mounts=[{"volume": "data", "path": "/d"}]), "a mount of a volume that is none"),
    ("mount relative", {**pod_app(mounts=[{"volume": "data", "path": "d"}]), "volumes": [EMPTY]}, "a mount at no path below the root"),
    (
        "mounts nested",
        {**pod_app(mounts=[{"volume": "data", "path": p} for p in ("/d", "/d/e")]), "volumes": [EMPTY]},
        "mounts inside each other",
    ),
    ("annotation of an identifier", pod_app(annotations=[{"name": "a/b", "value": ""}]), ""),
    ("volume empty", volume(kind="empty", mode="0700", uid=1, gid=2), ""),
    ("volume host", volume(kind="host", source="/srv", recursive=False), ""),
    ("volume host relative", volume(kind="host", source="srv"), ""),
    ("volume host with mode", volume(kind="host", source="/srv", mode="0755"), ""),
    ("volume empty with source", volume(kind="empty", source="/srv"), ""),
    ("volume empty recursive", volume(kind="empty", recursive=True), "an empty volume with recursive"),
    ("volume of mode 0999", volume(kind="empty", mode="0999"), "a mode that is none"),
    ("volume of uid -1", volume(kind="empty", uid=-1), "an owner of a volume that no process can be"),
    ("volume that climbs", volume(kind="host", source="/a/../b"), "a source with .. or above the limit of paths"),
    ("volume of unknown kind", volume(kind="tmpfs"), ""),
    ("pod isolators twice", pod(isolators=[MEMORY, MEMORY]), "two isolators of one name"),
    ("app isolator on a pod", pod(isolators=[{"name": RETAIN, "value": {"set": ["CAP_KILL"]}}]), "an isolator of apps on a pod"),
    ("isolator of a pod", pod(isolators=[MEMORY]), ""),
    ("exposed port", exposed({"name": "www", "hostPort": 8080, "hostIP": "203.0.113.23"}), ""),
    ("exposed port 0", exposed({"name": "www", "hostPort": 0}), "a port of the host that is none"),
    ("exposed port 70000", exposed({"name": "www", "hostPort": 70000}), "a port of the host that is none"),
    ("exposed port unknown", exposed({"name": "ftp", "hostPort": 21}), "an exposed port without name, or by one that no app has"),
    ("exposed port twice", exposed(*[{"name": "www", "hostPort": 80}] * 2), "an exposed port without name, or by one that no app has"),
    ("hostIP that is none", exposed({"name": "www", "hostPort": 80, "hostIP": "203.0.113.256"}), ""),
    ("member twice", json.dumps(image()).replace('"name"', '"name": "example.com/other", "name"').encode(), "a member given twice"),
    ("fraction", json.dumps(image(further=1)).replace("1}", "1.5}").encode(), "a fraction, also where nobody reads it"),
    ("null among labels", image(labels=[{"name": "a", "value": ""}, None]), "a list with null in it"),
    ("NUL", image(labels=[{"name": "a", "value": "x\0y"}]), "a text with NUL"),
    ("name of 255 characters", image(name="a" * 255), ""),
    ("name of 256 characters", image(name="a" * 256), "an identifier above 255 characters"),
    ("pod app of 64 characters", pod_app(name="a" * 64), "a name of an app above 63 characters, another above 255"),
    ("volume of 64 characters", pod(volumes=[{**EMPTY, "name": "a" * 64}]), ""),
    ("volume of two dashes", pod(volumes=[{**EMPTY, "name": "a--b"}]), "two dashes side by side in a name"),
    ("annotation without value", image(annotations=[{"name": "a"}]), "an annotation without name or value"),
    ("userLabels with null", app(userLabels={"a": None}), "a user's value that is null"),
    ("exec without name", app(exec=["", "x"]), "a program without a name"),
    ("user of a file that climbs", app(user="/a/../b"), "an owner's path with .."),
    (
        "event whose program has no name",
        app(eventHandlers=[{"name": "pre-start", "exec": [""]}]),
        "an event handler whose program has no name",
    ),
    ("workingDirectory too long", app(workingDirectory="/" + "a" * 4095), "a working directory above the limit of paths"),
    ("mountPoint without path", app(mountPoints=[{"name": "data"}]), "a mountPoint without name or path"),
    ("port without protocol", app(ports=[{"name": "www", "port": 80}]), "a port without name or protocol"),
    ("port twice", app(ports=[WWW, WWW]), "two ports of one name"),
    ("mount without path", {**pod_app(mounts=[{"volume": "data"}]), "volumes": [EMPTY]}, "a mount without volume or path"),
    ("mount without volume", pod_app(mounts=[{"path": "/d"}]), "a mount without volume or path"),
    ("volume without name", pod(volumes=[{"kind": "empty"}]), ""),
    ("hostIP of version 6", exposed({"name": "www", "hostPort": 80, "hostIP": "2001:db8::1"}), ""),
    ("hostIP empty", exposed({"name": "www", "hostPort": 80, "hostIP": ""}), "an address of the host that is none"),
    (
        "port of two apps",
        pod(apps=[{"name": name, "image": {"id": ID}, "app": {**APP, "ports": [WWW]}} for name in ("a", "b")]),
        "ports of one name in two apps",
    ),
    ("cpu of nothing", isolators(("resource/cpu", {"limit": "0"})), "a limit of nothing"),
    (
        "cpu said twice",
        isolators(("resource/cpu", {"request": "1"}), ("os/linux/cpu-shares", 1024)),
        "two isolators that say the same of the processor",
    ),
    ("seccomp unknown", isolators((SYSCALLS, {"set": ["reboots"]})), "a system call or wildcard that nobody knows"),
    ("seccomp wildcard", isolators((SYSCALLS, {"set": ["@rkt/default-blacklist"]})), ""),
    ("seccomp wildcard unknown", isolators((SYSCALLS, {"set": ["@x/y"]})), "a system call or wildcard that nobody knows"),
    ("seccomp both", isolators((SYSCALLS, {"set": ["read"]}), ("os/linux/seccomp-retain-set", {"set": ["read"]})), ""),
    ("capability without name", isolators((RETAIN, {"set": [""]})), "a member of a set without a name"),
    (
        "block with request",
        isolators(("resource/block-iops", {"default": True, "limit": "9", "request": "1"})),
        "",
    ),
    (
        "selinux with a space",
        isolators(("os/linux/selinux-context", {"user": "u v", "role": "r", "type": "t", "level": "s"})),
        "a label of security that is no word",
    ),
    (
        "sysctl empty",
        pod(isolators=[{"name": "os/unix/sysctl", "value": {}}]),
        "sysctl that is empty",
    ),
    (
        "sysctl of the host",
        pod(isolators=[{"name": "os/unix/sysctl", "value": {"kernel.core_pattern": "|/x"}}]),
        "sysctl that is not the pod's own",
    ),
    ("sysctl", pod(isolators=[{"name": "os/unix/sysctl", "value": {"net.core.somaxconn": "9"}}]), ""),
    ("apparmor", isolators(("os/linux/apparmor-profile", {"profile": "web"})), "an AppArmor profile, which the library does not know"),
    (
        "apparmor of a pod without a name",
        pod(isolators=[{"name": "os/linux/apparmor-profile", "value": {}}]),
        "an AppArmor profile that is none",
    ),
    (
        "unknown isolator of a pod without value",
        pod(isolators=[{"name": "x/y"}]),
        "an isolator without name or value that it does not look at",
    ),
    ("memory 9Ei", memory("9Ei"), "a quantity above 2**63-1"),
    ("memory empty", memory(""), ""),
    ("memory 1MI", memory("1MI"), ""),
    ("memory 1_000", memory("1_000"), ""),
    ("memory +4096", memory("+4096"), ""),
    ("memory 4E3", memory("4E3"), "less memory than a page"),
    ("memory 123Mi", memory("123Mi"), ""),
    ("memory 125952Ki", memory("125952Ki"), ""),
    ("memory 2**63-1", memory("9223372036854775807"), ""),
    ("memory 2**63", memory("9223372036854775808"), "a quantity above 2**63-1"),
    ("memory 8000.5", memory("8000.5"), ""),
    ("memory 5e6u", memory("5e6u"), ""),
    ("memory 5000000000u", memory("5000000000u"), ""),
    ("memory 1.5 G", memory("1.5 G"), ""),
    ("memory true", memory(True), ""),
    (
        "created with a comma",
        image(annotations=[{"name": "created", "value": "2026-02-28T10:00:00,5Z"}]),
        "a time with a comma, a short hour or a zone of a day",
    ),
    (
        "created of zone +24:00",
        image(annotations=[{"name": "created", "value": "2026-02-28T10:00:00+24:00"}]),
        "a time with a comma, a short hour or a zone of a day",
    ),
    ("created at second 60", image(annotations=[{"name": "created", "value": "2026-12-31T23:59:60Z"}]), ""),
    ("created of zone +0100", image(annotations=[{"name": "created", "value": "2026-02-28T10:00:00+0100"}]), ""),
    ("created without zone", image(annotations=[{"name": "created", "value": "2026-02-28T10:00:00"}]), ""),
    (
        "created at one digit",
        image(annotations=[{"name": "created", "value": "2026-02-28T1:00:00Z"}]),
        "a time with a comma, a short hour or a zone of a day",
    ),
    ("created of zone -00:00", image(annotations=[{"name": "created", "value": "2026-02-28T10:00:00-00:00"}]), ""),
    (
        "isolator of a pod without name",
        pod(isolators=[{"value": 1}]),
        "an isolator without name or value that it does not look at",
    ),
    ("sysctl of two lines", pod(isolators=[{"name": "os/unix/sysctl", "value": {"kernel.sem": "1\n2"}}]), "sysctl with a line break"),
    (
        "riscv64 in a pod",
        pod_app(image={"id": ID, "labels": [{"name": "os", "value": "linux"}, {"name": "arch", "value": "riscv64"}]}),
        "riscv64",
    ),
]
