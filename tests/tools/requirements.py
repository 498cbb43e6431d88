# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The requirements of the App Container specification 0.8.11, by the numbers that error messages, docstrings and tests use.

Isolators have two rows: their name alone is the reading of their value, their name with `enforced` what a running pod gets.
"""

from __future__ import annotations

from typing import NamedTuple


class Requirement(NamedTuple):
    """One rule.

    Attributes:
        number: what is cited.
        level: MUST, SHOULD, MAY, or silent where the text says nothing and we do.
        rule: what we do about it, in a line.
        decision: why we do not do what the text allows or recommends; only for MAY and SHOULD.
    """

    number: str
    level: str
    rule: str
    decision: str = ""


GROUPS = {
    "T": "Types",
    "A": "Image archive",
    "M": "Image manifest",
    "D": "Dependencies and rendering",
    "P": "Pods",
    "E": "What an app sees",
    "I": "Isolators",
    "S": "Metadata service",
    "V": "Discovery",
}

_SECCOMP, _SELINUX, _APPARMOR = "system call filter", "SELinux labels", "AppArmor profiles"
_IO, _NETWORK, _METADATA = "limits on block devices", "network interfaces", "metadata service"

# What this version does not offer, each with the reason in a phrase. A rule that has gained a test has to leave this list.
NOT_OFFERED = {
    "M14a": "socket activation",
    "E7": "sd_notify and socket activation for apps",
    **dict.fromkeys(("S1", "S2", "S3", "S4", "S5", "S6"), _METADATA),
    "os/linux/seccomp-remove-set enforced": _SECCOMP,
    "os/linux/seccomp-retain-set enforced": _SECCOMP,
    "neither seccomp set": _SECCOMP,
    "os/linux/selinux-context enforced": _SELINUX,
    "os/linux/apparmor-profile enforced": _APPARMOR,
    "resource/block-bandwidth enforced": _IO,
    "resource/block-iops enforced": _IO,
    "resource/network-bandwidth enforced": _NETWORK,
    "os/unix/sysctl enforced": "kernel parameters of a pod",
}
# Rules about data have no excuse: of these groups nothing may be in NOT_OFFERED but what the launcher or the renderer has to do.
DATA_GROUPS = "TAMD"
NOT_ABOUT_DATA = ("M14a",)

_ROWS = [
    ("T1", "MUST", "AC Identifier: words of `a-z 0-9` joined by one of `- . _ ~ /` or by `/~`; at most 255 characters, never `..`"),
    ("T2", "MUST", "AC Name: words joined by one `-`; at most 63 characters for apps and pods, 255 for volumes, mount points and ports"),
    ("T3", "MUST", "AC Kind: `ImageManifest` or `PodManifest`, nothing else"),
    ("T4", "MUST", "AC Version: SemVer 2.0.0 of 0.x, not 0.0.0; one above 0.8.11 is accepted with a warning; we write 0.8.11"),
    ("T5", "MUST", "image ID: `sha512-` and 128 lower-case hex digits"),
    ("T6", "MUST", "an isolator is an object with a name (T1) and a value"),
    ("T7", "MUST", "timestamps: RFC 3339 with upper-case `T` and `Z`, of a day that exists"),
    ("T8", "MUST", "pod UUID: canonical, lower case, version 4"),
    ("T9", "MUST", "label: a name, unique in its list and never `name`, and a value; `arch` without `os` is ignored with a warning"),
    ("T9a", "SHOULD", "a version is unique for each build of a name: another build of one replaces no file unless told to"),
    ("T10", "MUST", "os and arch: the list of the specification's library, and linux/riscv64"),
    ("T11", "MUST", "annotation: a name, unique in its list, and a value; values that the specification knows are checked"),
    ("T11a", "MAY", "annotations change what we do only where our documentation says so, those of an image never"),
    ("T12", "MUST NOT", "user annotations and labels: strings by any key; a pod runs the same with and without them"),
    ("A1", "MUST", "file names of images end in `.aci`: kept when we write"),
    ("A2", "MUST", "a tar without repeated entries, `./x` and `x/` being `x`"),
    ("A3", "MUST", "`manifest`, a regular file, and `rootfs`, a directory, and nothing beside them, compared by path parts"),
    ("A4", "MUST", "files keep times, modes, owners and extended attributes"),
    ("A5", "MAY", "gzip, bzip2, xz or none, known by the first bytes"),
    ("A6", "MAY", "encryption with PGP", "never implemented by anybody: recognised and refused by name"),
    ("A7", "MUST", "a signature is detached and ASCII-armored; a binary one is refused"),
    ("A8", "MUST", "file names of signatures end in `.aci.asc`"),
    ("A9", "MUST", "the image ID is the digest of the uncompressed tar, the signature that of the file as distributed"),
    ("A10", "MUST", "the manifest in the archive is a valid image manifest"),
    ("A11", "MUST", "the operator lists the keys to trust, by prefix of the name"),
    ("M1", "MUST", "`acKind` is required and `ImageManifest`"),
    ("M2", "MUST", "`acVersion` is required"),
    ("M3", "MUST", "`name` is required, an AC Identifier"),
    ("M4", "MUST", "`labels` are optional (T9, T10)"),
    ("M5", "MUST", "`app` is optional; an image without one only carries files"),
    ("M6", "MUST", "`exec`: a list; a program without `/` is looked up in `PATH` inside the root, as the app's user; nothing is expanded"),
    ("M7", "MUST", "`user` and `group` are required: first a name of the image, then a number, or the owner of a file of the image"),
    ("M8", "MUST", "`supplementaryGIDs`: numbers from 0 to 2147483646; exactly these, none of the caller's"),
    ("M9", "MUST", "`eventHandlers`: `pre-start` has to end well before main starts, `post-stop` runs after any end of main; one of each"),
    ("M10", "MUST", "`workingDirectory` is absolute, `/` by default; where it is missing the app does not start"),
    ("M11", "MUST", "`environment`: unique names of letters, digits and `_ . -`, each with a value; nothing is expanded"),
    ("M12", "SHOULD", "`isolators` are applied; one that nobody knows is kept and told as ignored, refused in strict mode"),
    ("M13", "MUST", "`mountPoints`: unique names (T2), absolute paths below the root without `..`, `readOnly` false by default"),
    ("M14", "MUST", "`ports`: unique names (T2), tcp, udp or sctp, 1 to 65535, `count` at least 1 and the last port at most 65535"),
    ("M14a", "MUST", "listening sockets are handed to apps that want them"),
    ("M15", "MUST", "`userAnnotations`, `userLabels` (T12)"),
    ("M16", "MUST", "`dependencies`: `imageName` is required; `imageID`, `labels` and a `size` above 0 are optional"),
    ("M17", "MUST", "`pathWhitelist`: absolute paths without `..`, normalised; empty means all"),
    ("M18", "MUST", "`annotations` (T11)"),
    (
        "D1",
        "MUST",
        "a dependency is the newest stored image of its name and labels, and of its image ID if given; fetching an image fetches it too",
    ),
    ("D2", "MUST", "the `app` of a dependency is ignored"),
    (
        "D3",
        "MUST",
        "rendering starts empty: dependencies as listed, depth first, then the image; whitelists filter each",
    ),
    ("D4", "MUST", "a later path replaces an earlier one; a link to a directory is replaced, not followed"),
    ("D5", "MUST", "what a path whitelist does not name goes: the image's own, and that of each image above it on the way"),
    ("D6", "MUST", "every start has a clean root file system"),
    ("D7", "MAY", "any equivalent method: hard links to what each archive holds, an overlay above them, which are never written"),
    ("P1", "MUST", "apps of a pod share PID, network, IPC and UTS namespaces, and no others"),
    ("P2", "MUST", "volumes are declared on the pod and seen by each app that mounts them"),
    ("P3", "MUST", "before it runs a pod is reified: every mount point has a volume, every image is given by its ID"),
    ("P4", "MUST", "`acVersion`, `acKind` and `apps` are required; at least one app"),
    ("P5", "MUST", "an app has a unique name and an image with its ID; a given image name and labels are those of the image"),
    ("P6", "MUST", "`app` of the pod replaces the image's as a whole"),
    ("P7", "MUST", "`readOnlyRootFS`, false by default"),
    ("P8", "MUST", "a mount has a `path` below the root and a `volume` of the pod, unless it brings an `appVolume`"),
    (
        "P9",
        "MUST",
        "annotations of apps and pods have unique names; AC Identifiers, as in the specification's library, though the text says AC Names: "
        "our own are under `appc.rocket/`",
    ),
    (
        "P10",
        "MUST",
        "a volume is `host` (absolute `source`, `recursive`) or `empty` (`mode` up to 1777, `uid`, `gid`), nothing of the other",
    ),
    ("P11", "MUST", "isolators, annotations, user annotations and labels of the pod; an isolator of apps is refused there"),
    (
        "P12",
        "MUST",
        "`ports` of the host: names of ports, which are unique among the apps, 1 to 65535, no two that meet; IPv6 is an extension. Checked "
        "and not exposed yet: `rocket` refuses to run a pod with them",
    ),
    ("P13", "MUST", "what P3, P5, P8 and P12 say across members holds before a pod is prepared"),
    ("P14", "SHOULD", "a missing mount target is made, root's and 0755, in the pod's own layer"),
    ("P15", "SHOULD", "a target that hides files is told; a file gives way to a directory"),
    ("P16", "SHOULD", "targets that are equal or inside each other are an error"),
    ("P17", "MUST", "nothing is made on the host; a missing source is an error"),
    ("P18", "MAY", "single files are volumes too"),
    ("P19", "SHOULD", "a source behind a symbolic link is an error"),
    ("P20", "MUST", "a pod has a loopback interface that is up, and so far no other of its own"),
    ("P21", "MUST", "standard output and error of each app are kept"),
    ("P22", "silent", "set-up, `pre-start`, main of each app; at the end SIGTERM, a time to stop, SIGKILL, `post-stop`"),
    ("E1", "MUST", "each app has a root file system of its own"),
    (
        "E2",
        "MUST",
        "main and event handlers have `PATH`, `AC_APP_NAME` and `container`; an app may replace all but `AC_*` and `container`; "
        "`AC_METADATA_URL` comes with the metadata service",
    ),
    ("E3", "MUST", "the working directory is the app's"),
    ("E4", "MUST", "`/proc`, `/sys`, `/dev` with its nodes, `/dev/pts` and `/dev/shm`, the same for every image"),
    ("E5", "MAY", "`/etc/hosts`", "none is made, the image's own is left alone: a pod has no network but loopback yet"),
    ("E6", "MUST", "user, group and supplementary groups are the app's and nobody else's"),
    ("E7", "MUST", "readiness by sd_notify, sockets by activation"),
    ("E8", "MAY", "logging to the journal's socket", "apps write to standard output and error (P21)"),
    ("I1", "MUST", "isolators of a pod bound those of its apps"),
    ("I2", "MUST", "which isolators were ignored, enforced or modified is told; strict mode refuses what would be ignored"),
    ("I3", "MUST", "a request is guaranteed and is the limit where absent; never above the limit; a resource has one of the two"),
    ("I4", "MUST", "quantities: exact, in base units, rounded up; from 0 to 2^63-1"),
    ("I5", "MUST", "what may stand once stands once; what excludes each other is refused; names in sets are checked"),
    ("S1", "SHOULD", "offered at `AC_METADATA_URL`"),
    ("S2", "SHOULD", "the URL has a token that nobody guesses"),
    ("S3", "MUST", "the endpoints, methods and content types of the specification"),
    ("S4", "MUST", "HMAC-SHA512 over UUID and content"),
    ("S5", "silent", "status codes of errors"),
    ("S6", "silent", "annotations one by one"),
    ("V1", "MUST", "meta tags of the page of a name"),
    ("V2", "MUST", "`ac-discovery` holds a template with `{ext}`, `ac-discovery-pubkeys` a URL"),
    ("V3", "MUST", "a prefix fits by path parts; then the template is filled, values percent-encoded"),
    ("V4", "MAY", "all templates of a page count, in their order, as mirrors"),
    ("V5", "MUST", "where a page has no fitting tag or answers 4xx its parent is asked, up to the host"),
    ("V6", "MUST", "redirects are followed, at most ten and never away from https"),
    ("V7", "MUST", "name and labels asked for are those of the manifest, signed or not"),
    ("V8", "MUST", "the signature policy is the operator's; an image let in without one is marked"),
    (
        "V9",
        "SHOULD",
        "credentials are the operator's, for exactly one host and port; where a 401 comes without them, the error names the file",
    ),
    ("V10", "silent", "references are written `name:version,label=value`"),
    ("V11", "silent", "order: discover, signature, signer, image, verify, check the name, import"),
]
_VALUES = {
    "os/linux/seccomp-remove-set": "app: names of system calls that Linux knows, known wildcards, the name of an error",
    "os/linux/seccomp-retain-set": "app: the same; never together with the other set",
    "os/linux/selinux-context": "app, pod: four words, only the level with a colon",
    "os/linux/apparmor-profile": "app, pod: the name of a profile",
    "os/linux/capabilities-remove-set": "app: names of capabilities, not empty",
    "os/linux/capabilities-retain-set": "app: the same; never together with the other set",
    "os/linux/no-new-privileges": "app: true or false",
    "os/linux/oom-score-adj": "app: -1000 to 1000",
    "os/linux/cpu-shares": "app: 2 to 262144; not together with a request of `resource/cpu`",
    "resource/cpu": "app, pod: request and limit in cores, no default",
    "resource/memory": "app, pod: request and limit in bytes, at least 4096, no default",
    "resource/block-bandwidth": "app, pod: default true, a limit in bytes a second, no request",
    "resource/block-iops": "app, pod: default true, a limit in operations a second, no request",
    "resource/network-bandwidth": "app, pod: default true, a limit in bytes a second, no request",
    "os/unix/sysctl": "pod: keys that the pod's own namespaces keep, values without control characters",
}
_ENFORCED = {
    "os/linux/seccomp-remove-set": "the set is blocked; refused until then",
    "os/linux/seccomp-retain-set": "all but the set is blocked; refused until then",
    "os/linux/selinux-context": "processes have the label; refused until then",
    "os/linux/apparmor-profile": "processes have the profile; refused until then",
    "os/linux/capabilities-remove-set": "the bounding set is the 14 defaults without the set",
    "os/linux/capabilities-retain-set": "the bounding set is the set",
    "os/linux/no-new-privileges": "as asked; on where nobody asks, told as modified",
    "os/linux/oom-score-adj": "set before the program starts",
    "os/linux/cpu-shares": "shares, or the weight that they stand for",
    "resource/cpu": "quota and weight of the control group",
    "resource/memory": "hard limit, and protection of the request",
    "resource/block-bandwidth": "told as ignored until then",
    "resource/block-iops": "told as ignored until then",
    "resource/network-bandwidth": "told as ignored until then",
    "os/unix/sysctl": "told as ignored until then",
}
REQUIREMENTS = [
    *(Requirement(*row) for row in _ROWS),
    *(Requirement(name, "MUST", rule) for name, rule in _VALUES.items()),
    Requirement("neither seccomp set", "MAY", "a default set of system calls is blocked"),
    Requirement("neither capabilities set", "MUST", "the bounding set is the 14 defaults"),
    *(Requirement(f"{name} enforced", "SHOULD", rule) for name, rule in _ENFORCED.items()),
]
