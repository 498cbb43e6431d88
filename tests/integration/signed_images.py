# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Images of one name, built from busybox and signed by GnuPG."""

from __future__ import annotations

import shutil
import subprocess

import pytest

NAME = "example.com/shop/app"
STATIC = "/bin/busybox"


def make_signed(tmp_path_factory):
    """Yield images of NAME in several versions, one signed by its key, and the keys; as a dictionary."""
    from _rocket.image.build import build
    from _rocket.spec.image_manifest import ImageManifest

    for program in ("gpg", "busybox"):
        if shutil.which(program) is None:
            pytest.skip(f"missing ability: the program {program}")
    directory = tmp_path_factory.mktemp("signed")
    (directory / "tree" / "bin").mkdir(parents=True)
    shutil.copy2(STATIC, directory / "tree" / "bin" / "busybox")
    home = tmp_path_factory.mktemp("g")
    home.chmod(0o700)
    gpg = [
        "gpg",
        "--homedir",
        str(home),
        "--batch",
        "--quiet",
        "--no-auto-check-trustdb",
        "--pinentry-mode",
        "loopback",
        "--passphrase",
        "",
    ]
    found = {"home": str(home)}
    for user in ("release", "stranger"):
        subprocess.run([*gpg, "--quick-generate-key", user, "ed25519", "sign", "never"], check=True, capture_output=True)
        listing = subprocess.run([*gpg, "--with-colons", "--list-keys", f"={user}"], check=True, capture_output=True, text=True).stdout
        found[user] = [line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr")][0]
        armored = subprocess.run([*gpg, "--armor", "--export", found[user]], check=True, capture_output=True, text=True)
        found[f"{user}_key"] = armored.stdout
    for version, name, signer in (("1", NAME, "release"), ("2", NAME, ""), ("3", NAME, "stranger"), ("4", f"{NAME}2", "release")):
        manifest = {
            "acKind": "ImageManifest",
            "acVersion": "0.8.11",
            "name": name,
            "labels": [{"name": "version", "value": version}],
            "app": {"exec": ["/bin/busybox", "sleep", "3600"], "user": "0", "group": "0"},
        }
        path = str(directory / f"{version}.aci")
        found[f"id_{version}"] = build(str(directory / "tree"), ImageManifest.from_json(manifest), path)
        found[version] = path
        if signer:
            subprocess.run([*gpg, "--local-user", found[signer], "--armor", "--detach-sign", path], check=True, capture_output=True)
    yield found
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)
