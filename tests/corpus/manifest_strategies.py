# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Strategies of hypothesis for valid manifests in canonical form: no member has its default, and no list that may be absent is empty."""

from __future__ import annotations

from hypothesis import strategies as st

from _rocket.spec.isolators import CAPABILITIES, EXCLUSIVE
from _rocket.spec.values import ARCHITECTURES

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = st.text(LETTERS + "0123456789", min_size=1, max_size=5)
NAMES = st.lists(WORDS, min_size=1, max_size=3).map("-".join)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
PATHS = st.lists(st.one_of(WORDS, st.sampled_from(["..a", ".b", "c d", "é"])), min_size=1, max_size=3).map(
    lambda parts: "/" + "/".join(parts)
)
IMAGE_IDS = st.integers(0, (1 << 512) - 1).map(lambda number: f"sha512-{number:0128x}")
NUMBERS = st.integers(0, (1 << 31) - 2)
JSON = st.recursive(
    st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)


@st.composite
def identifiers(draw):
    """AC Identifiers."""
    words = draw(st.lists(WORDS, min_size=1, max_size=3))
    return words[0] + "".join(draw(st.sampled_from(["-", ".", "_", "~", "/", "/~"])) + word for word in words[1:])


def several(items, key=lambda item: item["name"], most=3):
    """Lists of items that differ by their key, not empty."""
    return st.lists(items, min_size=1, max_size=most, unique_by=key)


def objects(required, **optional):
    """Objects with the members of `required`, and some of `optional`."""
    return st.fixed_dictionaries(required, optional=optional)


TRUE = st.just(True)
OTHER_LABELS = identifiers().filter(lambda name: name not in ("name", "os", "arch"))


@st.composite
def labels(draw):
    """Lists of labels; an os may come with one of its architectures."""
    found = draw(st.lists(objects({"name": OTHER_LABELS, "value": TEXTS}), max_size=2, unique_by=lambda item: item["name"]))
    if draw(st.booleans()) or not found:
        system = draw(st.sampled_from(sorted(ARCHITECTURES)))
        found.append({"name": "os", "value": system})
        if draw(st.booleans()):
            found.append({"name": "arch", "value": draw(st.sampled_from(ARCHITECTURES[system]))})
    return draw(st.permutations(found))


TIMES = (
    st.datetimes()
    .map(lambda time: f"{time:%H:%M:%S}")
    .flatmap(lambda time: st.sampled_from([f"2024-02-29T{time}Z", f"2026-12-31T{time}.25+01:30"]))
)
WEB = st.builds(
    lambda scheme, host, path: f"{scheme}://{host}.example.com{path}", st.sampled_from(["http", "https"]), NAMES, st.just("/a?b")
)
KNOWN_ANNOTATIONS = {
    "created": TIMES,
    "homepage": WEB,
    "documentation": WEB,
    "appc.io/executor/supports-systemd-notify": st.sampled_from(["true", "false"]),
}


def annotations():
    """Lists of annotations, some of them with values that the specification checks."""
    free = objects({"name": identifiers().filter(lambda name: name not in KNOWN_ANNOTATIONS), "value": TEXTS})
    known = st.sampled_from(sorted(KNOWN_ANNOTATIONS)).flatmap(
        lambda name: objects({"name": st.just(name), "value": KNOWN_ANNOTATIONS[name]})
    )
    return several(free | known)


BYTES = st.sampled_from(["4096", "1.5Gi", "64Mi", "1e6", "100k", ".5G", "+7M", "123E3", "1Ti"])
RATES = st.sampled_from(["1", "10k", "1.5M", "2Gi", "0.1", "3e2"])
CORES = st.sampled_from(["250m", "1", ".5", "1.75", "100u", "2e0"])


def _set(names, **more):
    return objects({"set": st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True)}, **more)


_RATE = objects({"default": TRUE, "limit": RATES})
_SYSTEM_CALLS = ["read", "reboot", "cacheflush", "s390_runtime_instr", "@rkt/default-whitelist"]
_ERRNO = st.sampled_from(["", "EPERM", "ENOTSUP", "EXFULL"])
# Values of isolators by name, and where they may stand.
APP_ISOLATORS = {
    "os/linux/seccomp-remove-set": _set([*_SYSTEM_CALLS, "@appc.io/empty"], errno=_ERRNO),
    "os/linux/seccomp-retain-set": _set([*_SYSTEM_CALLS, "@appc.io/all"], errno=_ERRNO),
    "os/linux/capabilities-remove-set": _set(CAPABILITIES),
    "os/linux/capabilities-retain-set": _set(CAPABILITIES),
    "os/linux/no-new-privileges": st.booleans(),
    "os/linux/oom-score-adj": st.integers(-1000, 1000),
    "os/linux/cpu-shares": st.integers(2, 262144),
}
POD_ISOLATORS = {
    "os/unix/sysctl": st.dictionaries(
        st.sampled_from(["net.core.somaxconn", "kernel.msgmax", "kernel.sem", "fs.mqueue.msg_max"]), WORDS, min_size=1, max_size=3
    ),
}
BOTH_ISOLATORS = {
    "os/linux/selinux-context": objects(dict.fromkeys(("user", "role", "type", "level"), NAMES)),
    "os/linux/apparmor-profile": objects({"profile": NAMES}),
    "resource/cpu": objects({"limit": CORES}) | objects({"request": st.just("1m"), "limit": CORES}),
    "resource/memory": objects({"limit": BYTES})
    | objects({"request": st.just("4Ki"), "limit": st.just("4Ki")})
    | objects({"request": BYTES}),
    "resource/block-bandwidth": _RATE,
    "resource/block-iops": _RATE,
    "resource/network-bandwidth": _RATE,
}


@st.composite
def isolators(draw, scope):
    """Lists of isolators of an app or a pod, none of which exclude each other; some that nobody knows."""
    known = {**BOTH_ISOLATORS, **(APP_ISOLATORS if scope == "app" else POD_ISOLATORS)}
    names = draw(st.lists(st.sampled_from(sorted(known)), min_size=1, max_size=3, unique=True))
    for first, second in (*EXCLUSIVE, ("resource/cpu", "os/linux/cpu-shares")):
        if first in names and second in names:
            names.remove(second)
    found = [{"name": name, "value": draw(known[name])} for name in names]
    if draw(st.integers(0, 5)) == 0:
        found.append({"name": f"example.com/{draw(NAMES)}", "value": draw(JSON)})
    return found


PROGRAMS = st.lists(TEXTS, max_size=2).map(lambda arguments: ["/bin/app", *arguments])
VARIABLES = st.builds(str.__add__, st.sampled_from("ABz_"), st.text("ABz_.-9", max_size=4))
OWNERS = NAMES | PATHS


def ports(prefix):
    """One port; its name starts with `prefix`."""
    return st.fixed_dictionaries(
        {"name": NAMES.map(prefix.__add__), "protocol": st.sampled_from(["tcp", "udp", "sctp"]), "port": st.integers(1, 65000)},
        optional={"count": st.integers(2, 500), "socketActivated": TRUE},
    )


def apps(prefix=""):
    """The app of an image, or of a pod's app; names of its ports start with `prefix`."""
    return objects(
        {"user": OWNERS, "group": OWNERS},
        exec=PROGRAMS,
        supplementaryGIDs=st.lists(NUMBERS, min_size=1, max_size=2),
        eventHandlers=several(objects({"name": st.sampled_from(["pre-start", "post-stop"]), "exec": PROGRAMS})),
        workingDirectory=PATHS,
        environment=several(objects({"name": VARIABLES, "value": TEXTS})),
        isolators=isolators("app"),
        mountPoints=several(objects({"name": NAMES, "path": PATHS}, readOnly=TRUE)),
        ports=several(ports(prefix)),
        userAnnotations=st.dictionaries(TEXTS, TEXTS, min_size=1, max_size=2),
        userLabels=st.dictionaries(TEXTS, TEXTS, min_size=1, max_size=2),
    )


VERSIONS = st.sampled_from(["0.8.11", "0.7.4", "0.8.11-rc.1+git"])


def image_manifests():
    """Image manifests."""
    dependencies = objects({"imageName": identifiers()}, imageID=IMAGE_IDS, labels=labels(), size=st.integers(1, 1 << 40))
    return objects(
        {"acKind": st.just("ImageManifest"), "acVersion": VERSIONS, "name": identifiers()},
        labels=labels(),
        app=apps(),
        dependencies=st.lists(dependencies, min_size=1, max_size=2),
        pathWhitelist=st.lists(PATHS, min_size=1, max_size=3, unique=True),
        annotations=annotations(),
    )


def volumes():
    """One volume."""
    empty_only = {"mode": st.sampled_from(["0700", "1777"]), "uid": st.integers(1, 9), "gid": st.integers(1, 9)}
    return objects({"name": NAMES, "kind": st.just("empty")}, readOnly=TRUE, **empty_only) | objects(
        {"name": NAMES, "kind": st.just("host"), "source": PATHS}, readOnly=TRUE, recursive=st.just(False)
    )


@st.composite
def _exposed(draw, known):
    """Exposed ports that do not meet: each has a thousand ports of the host to itself."""
    names = draw(st.lists(st.sampled_from(known), max_size=2, unique=True)) if known else []
    found = [{"name": name} for name in names]
    if draw(st.booleans()) or not found:
        found.append({"name": "of-the-pod", "podPort": draw(ports("p-"))})
    for number, port in enumerate(found, 1):
        port["hostPort"] = 1000 * number + draw(st.integers(0, 400))
        if draw(st.booleans()):
            port["hostIP"] = draw(st.sampled_from(["203.0.113.23", "0.0.0.0", "127.0.0.1"]))
    return found


@st.composite
def pod_manifests(draw):
    """Pod manifests."""
    volume_list = draw(st.just([]) | several(volumes()))
    members = {}
    for number in range(draw(st.integers(1, 3))):
        app = draw(
            objects(
                {"name": NAMES, "image": objects({"id": IMAGE_IDS}, name=identifiers(), labels=labels())},
                app=apps(f"a{number}-"),
                readOnlyRootFS=TRUE,
                annotations=annotations(),
            )
        )
        mounts = [
            {"volume": item["name"], "path": f"/{index}{draw(PATHS)}"} for index, item in enumerate(volume_list) if draw(st.booleans())
        ]
        if draw(st.booleans()):
            mounts.append({"volume": "own", "path": "/own", "appVolume": draw(volumes())})
        members[app["name"]] = {**app, **({"mounts": mounts} if mounts else {})}
    manifest = {"acKind": "PodManifest", "acVersion": draw(VERSIONS), "apps": list(members.values()), "annotations": []}
    manifest.update(draw(objects({}, annotations=annotations(), isolators=isolators("pod"), userLabels=st.just({"a b": "c"}))))
    if volume_list:
        manifest["volumes"] = volume_list
    if draw(st.booleans()):
        manifest["ports"] = draw(_exposed([port["name"] for app in manifest["apps"] for port in app.get("app", {}).get("ports", [])]))
    return manifest
