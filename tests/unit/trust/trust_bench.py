# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Keys and signatures of the real GnuPG, and a keyring to try them in."""

from __future__ import annotations

import os
import subprocess

from _rocket.trust.keyring import Keyring
from _rocket.trust.verify import Verifier

DAY = 86400
START = 1704067200  # 2024-01-01
SIGNED = START + 150 * DAY
NOW = START + 366 * DAY  # 2025-01-01
DATA = b"an image as distributed\n" * 40
NAME = "example.com/shop/web"


class Gpg:
    """GnuPG in a home of its own."""

    def __init__(self, home):
        self.home = str(home)
        os.chmod(self.home, 0o700)
        self.fingerprints = {}

    def run(self, *words, data=None, at="20240101T000000"):
        environment = {"PATH": os.environ["PATH"], "GNUPGHOME": self.home, "LC_ALL": "C"}
        argv = ["gpg", "--batch", "--yes", "--quiet", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", ""]
        done = subprocess.run(
            [*argv, "--faked-system-time", f"{at}!", *words], input=data, capture_output=True, env=environment, timeout=120, check=False
        )
        if done.returncode:
            raise RuntimeError(f"gpg {' '.join(words)}: {done.stderr.decode()}")
        return done.stdout

    def key(self, name, algorithm, usage="sign,cert", expire="never", at="20240101T000000"):
        """Make a key once, and return its fingerprint."""
        if name not in self.fingerprints:
            self.run("--quick-gen-key", f"{name} <{name}@example.com>", algorithm, usage, expire, at=at)
            self.fingerprints[name] = self.key_of(f"{name} <{name}@example.com>")
        return self.fingerprints[name]

    def key_of(self, identity):
        """Return the fingerprint of the key with this user ID."""
        listing = self.run("--with-colons", "--list-keys", f"={identity}").decode()
        return next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr")).lower()

    def export(self, fingerprint):
        return self.run("--armor", "--export", fingerprint)

    def sign(self, fingerprint, data=DATA, *options, at="20240601T000000"):
        """Return a detached signature by exactly this key or subkey."""
        return self.run("--armor", *options, "--local-user", f"{fingerprint}!", "--detach-sign", data=data, at=at)

    def stop(self):
        subprocess.run(["gpgconf", "--kill", "all"], env={"PATH": os.environ["PATH"], "GNUPGHOME": self.home}, timeout=30, check=False)


class Bench:
    """A keyring in a temporary directory, and what to verify against it."""

    def __init__(self, paths, tmp_path):
        self.paths = paths
        self.file = str(tmp_path / "image.aci")
        self.now = NOW
        self.keyring = Keyring(paths, lambda: self.now)

    def trust(self, armored, name, prefix="example.com/shop", layer="local"):
        """Put a key file in place as it is, without any check."""
        base = self.paths.local if layer == "local" else self.paths.system
        directory = f"{base}/trustedkeys/prefix.d/{prefix}" if prefix else f"{base}/trustedkeys/root.d"
        os.makedirs(directory, exist_ok=True)
        with open(f"{directory}/{name}", "wb") as stream:
            stream.write(armored)
        return f"{directory}/{name}"

    def verify(self, signature, data=DATA, name=NAME, threshold=1, second_opinion="none"):
        with open(self.file, "wb") as stream:
            stream.write(data)
        with open(self.file, "rb") as stream:
            return Verifier(self.keyring, lambda: self.now, threshold, second_opinion=second_opinion).verify(
                stream.fileno(), signature, name
            )
