# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The configuration of an OCI image, and the image manifest that says the same (docs/oci.md).

What the App Container specification has no word for becomes an annotation under ``appc.rocket/oci/`` where an operator may
want to know it, and is dropped where it is about building. What breaks a rule of the specification is dropped and named.

Not handled here: users and their groups, which only the files of the image know (oci_users.py).
"""

from __future__ import annotations

from ..errors import SpecError
from ..record import Record
from ..spec.canonical import dumps
from ..spec.image_manifest import ImageManifest
from ..spec.oci_manifest import DOCUMENT_LIMIT, MOST_LAYERS, arch_label
from ..spec.oci_reference import check_digest
from ..spec.reading import Node, load
from ..spec.values import AC_VERSION, check_timestamp, check_web_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..spec.image_name import ImageName

ANNOTATION = "appc.rocket/oci"
# What podman leaves an app without being asked for more: the specification's fourteen without these three, which reach further
# than most programs want: making devices, raw packets, writing the kernel's audit log.
CAPABILITIES = (
    *("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_NET_BIND_SERVICE"),
    *("CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT"),
)
_LABELS = {"homepage": "org.opencontainers.image.url", "documentation": "org.opencontainers.image.documentation"}
_WORDS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_PROTOCOLS = ("tcp", "udp", "sctp")


class ImageConfig(Record):
    """What a configuration says.

    Attributes:
        digest: of the configuration itself: what Docker calls the image's ID.
        arch: as a label (T10).
        variant: of the architecture, as OCI writes it; may be empty.
        created: RFC 3339, or empty.
        author: or empty.
        diff_ids: digests of the uncompressed layers, the lowest first.
        user: ``user[:group]``, or empty.
        working_directory: absolute, or empty.
        values: the member ``config``, an object.
    """

    digest: str
    arch: str
    variant: str
    created: str
    author: str
    diff_ids: tuple[str, ...]
    user: str
    working_directory: str
    values: dict[str, Any]


class Owner(Record):
    """Who an app runs as, in the words of the manifest (M7, M8)."""

    user: str = "0"
    group: str = "0"
    groups: tuple[int, ...] = ()


def parse_config(data: bytes, digest: str) -> ImageConfig:
    """Return what the configuration in `data` says; `digest` is its own, which the caller has checked.

    Raises:
        SpecError: it is none, or of no image for Linux.
    """
    what = "image configuration"
    node = Node(load(data, what, DOCUMENT_LIMIT), "")
    try:
        return _config(node, digest)
    except SpecError as error:
        error.where = f"{what}: {error.where}" if error.where else what
        raise


def _config(node: Node, digest: str) -> ImageConfig:
    system, architecture = node.required("os"), node.required("architecture")
    if system.value != "linux":
        raise system.error("an image for linux was expected")
    variant = _text(node, "variant")
    arch = arch_label(architecture.text(), variant)
    if not arch:
        raise architecture.error(f"an architecture that has a label here was expected (variant {variant or 'none'})", "T10")
    rootfs = node.required("rootfs")
    kind = rootfs.required("type")
    if kind.value != "layers":
        raise kind.error("layers was expected")
    layers = rootfs.required("diff_ids").items()
    if len(layers) > MOST_LAYERS:
        raise SpecError(f"has {len(layers)} layers, at most {MOST_LAYERS} are allowed", path="rootfs.diff_ids")
    values = node.optional("config") or Node({}, "config")
    values.members()
    return ImageConfig(
        digest=digest,
        arch=arch,
        variant=variant,
        created=_text(node, "created"),
        author=_text(node, "author"),
        diff_ids=tuple(check_digest(item.value, item.path) for item in layers),
        user=_text(values, "User"),
        working_directory=_text(values, "WorkingDir"),
        values=values.value,
    )


def _text(node: Node, name: str) -> str:
    member = node.optional(name)
    return "" if member is None else member.text()


def image_manifest(config: ImageConfig, name: ImageName, owner: Owner) -> tuple[ImageManifest, tuple[str, ...]]:
    """Return the manifest of the image, and what of its configuration is not in it, one clause each.

    Args:
        config: of the image.
        name: name and version that it gets.
        owner: what its user means in its own files.

    Raises:
        SpecError: what cannot be left out cannot be said.
    """
    mapping = _Mapping(config)
    value = {
        "acKind": "ImageManifest",
        "acVersion": AC_VERSION,
        "name": name.name,
        "labels": [
            *({"name": label, "value": text} for label, text in name.labels),
            {"name": "os", "value": "linux"},
            {"name": "arch", "value": config.arch},
        ],
        "app": {
            "exec": mapping.exec(),
            "user": owner.user,
            "group": owner.group,
            "supplementaryGIDs": list(owner.groups),
            "workingDirectory": config.working_directory or "/",
            "environment": mapping.environment(),
            "isolators": [{"name": "os/linux/capabilities-retain-set", "value": {"set": list(CAPABILITIES)}}],
            "mountPoints": mapping.mount_points(),
            "ports": mapping.ports(),
            "userLabels": mapping.labels(),
        },
        "annotations": [{"name": each, "value": text} for each, text in mapping.annotations()],
    }
    return ImageManifest.from_json(value, "the manifest made of the image configuration"), tuple(mapping.dropped)


class _Mapping:
    """One configuration, read member by member; `dropped` names what cannot be said."""

    def __init__(self, config: ImageConfig) -> None:
        self._config = config
        self._node = Node(config.values, "config")
        self.dropped: list[str] = []

    def exec(self) -> list[str]:
        """Return Entrypoint and Cmd as one command; empty where there is none, which is left to whoever runs the image."""
        return [item.text() for name in ("Entrypoint", "Cmd") for item in self._items(name)]

    def environment(self) -> list[dict[str, str]]:
        """Return the variables in order; of one that is given twice the later value counts, as for who runs OCI images."""
        found: dict[str, str] = {}
        for item in self._items("Env"):
            name, equals, text = item.text().partition("=")
            plain = name.isascii() and name.replace(".", "_").replace("-", "_").isidentifier() and name[0] not in ".-"
            if equals and plain:
                found[name] = text
            else:
                self._drop(item, "is no variable of an app (M11)")
        return [{"name": name, "value": text} for name, text in found.items()]

    def ports(self) -> list[dict[str, Any]]:
        """Return the exposed ports, named by what they are: ``80-tcp``, ``8000-8010-udp`` (M14)."""
        found: dict[tuple[int, int, str], dict[str, Any]] = {}
        for item in self._names("ExposedPorts"):
            text, slash, protocol = item.value.partition("/")
            first, dash, last = text.partition("-")
            numbers = [_port(part) for part in ((first, last) if dash else (first,))]
            if not all(numbers) or numbers != sorted(numbers) or (slash and protocol not in _PROTOCOLS):
                self._drop(item, "is no port (M14)")
                continue
            protocol, span = protocol or "tcp", (numbers[0], numbers[-1])
            name = f"{'-'.join(map(str, sorted(set(span))))}-{protocol}"
            found[span[0], span[1], protocol] = {"name": name, "protocol": protocol, "port": span[0], "count": span[1] - span[0] + 1}
        return [found[key] for key in sorted(found)]

    def mount_points(self) -> list[dict[str, str]]:
        """Return the volumes, named by their paths: ``volume-var-lib-data``, with a number where two would be equal (M13)."""
        found: dict[str, str] = {}
        for item in self._names("Volumes"):
            parts = [part for part in item.value.split("/") if part not in ("", ".")]
            if not item.value.startswith("/") or not parts or ".." in parts:
                self._drop(item, "is no path below the root (M13)")
                continue
            path = "/" + "/".join(parts)
            if path not in found.values():
                found[_unique(_volume_name(path), found)] = path
        return [{"name": name, "path": path} for name, path in found.items()]

    def labels(self) -> dict[str, str]:
        """Return the labels, which mean nothing to us (T12)."""
        return {item.value: self._label(item.value) for item in self._names("Labels")}

    def annotations(self) -> list[tuple[str, str]]:
        """Return the annotations in the order of their names."""
        config, found = self._config, {f"{ANNOTATION}/config": self._config.digest}
        if config.variant:
            found[f"{ANNOTATION}/variant"] = config.variant
        if config.author:
            found["authors"] = config.author
        if _fits(check_timestamp, config.created):
            found["created"] = config.created
        for name, label in _LABELS.items():
            address = self._label(label)
            if _fits(check_web_address, address):
                found[name] = address
        signal, health = self._node.optional("StopSignal"), self._node.optional("Healthcheck")
        if signal is not None and signal.text():
            found[f"{ANNOTATION}/stop-signal"] = signal.text()
        if health is not None:
            found[f"{ANNOTATION}/healthcheck"] = dumps(health.value).decode("ascii")
        return sorted(found.items())

    def _label(self, name: str) -> str:
        labels = self._node.optional("Labels")
        label = None if labels is None else labels.optional(name)
        return "" if label is None else label.text()

    def _items(self, name: str) -> list[Node]:
        member = self._node.optional(name)
        return [] if member is None else member.items()

    def _names(self, name: str) -> list[Node]:
        """Return the names of the members of an object, sorted, each with its JSON path."""
        member = self._node.optional(name)
        return [] if member is None else [Node(text, f"{member.path}[{dumps(text).decode('ascii')}]") for text in sorted(member.members())]

    def _drop(self, item: Node, why: str) -> None:
        self.dropped.append(f"{item.path} {why}")


def _fits(check: Any, text: str) -> bool:
    try:
        return bool(text) and bool(check(text, ""))
    except SpecError:
        return False


def _port(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else 0
    return number if number < 65536 else 0


def _volume_name(path: str) -> str:
    """Return the words of a path as an AC Name (T2), short enough for a number behind it."""
    words = "".join(character if character in _WORDS else "-" for character in path.lower()).split("-")
    return "-".join(["volume", *filter(None, words)])[:240].rstrip("-")


def _unique(name: str, taken: dict[str, str]) -> str:
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name}-{number}"
    return found
