# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""OCI images and registries by somebody else's implementation: umoci, skopeo and docker-registry, all on this machine."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

UNIT = pathlib.Path(__file__).resolve().parents[1] / "unit"
sys.path[:0] = [str(UNIT / "fetch"), str(UNIT / "image")]

SCRATCH = "scratch"


def run(*words, **options):
    """Run a program; return what it wrote."""
    outcome = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=120, check=False, **options)
    assert outcome.returncode == 0, (words, outcome.stdout, outcome.stderr)
    return outcome.stdout


class Layout:
    """A layout that umoci writes: each change of a tree becomes a layer."""

    def __init__(self, directory):
        self.path = str(directory / "layout")
        self._bundle = str(directory / "bundle")
        run("umoci", "init", "--layout", self.path)
        run("umoci", "new", "--image", f"{self.path}:{SCRATCH}")
        run("umoci", "unpack", "--image", f"{self.path}:{SCRATCH}", self._bundle)
        self.root = pathlib.Path(self._bundle, "rootfs")
        self._tag = SCRATCH

    def commit(self, tag):
        """Make a layer of what changed since the last one."""
        run("umoci", "repack", "--refresh-bundle", "--image", f"{self.path}:{tag}", self._bundle)
        self._tag = tag

    def config(self, *words, tag=None):
        """Change the configuration of the image."""
        run("umoci", "config", "--image", f"{self.path}:{tag or self._tag}", *words)

    def unpacked(self, tag, directory):
        """Return the tree that umoci makes of an image."""
        run("umoci", "unpack", "--image", f"{self.path}:{tag}", str(directory))
        return pathlib.Path(directory, "rootfs")

    def digest(self, tag):
        """Return the digest of the manifest of an image."""
        index = json.loads(pathlib.Path(self.path, "index.json").read_text())
        return next(each["digest"] for each in index["manifests"] if each["annotations"]["org.opencontainers.image.ref.name"] == tag)


def skopeo(*words):
    """Run skopeo with a policy of its own."""
    return run("skopeo", "--insecure-policy", *words)


class Registry:
    """Debian's docker-registry on loopback, with a certificate of the tests' own authority.

    Args:
        directory: for its files.
        certificate: of localhost, with the key.
        authority: the file of the authority.
        auth: lines of its configuration about who may do what.
    """

    def __init__(self, directory, certificate, authority, auth=()):
        from fetch_site import free_port

        self.port = free_port()
        self.host = f"localhost:{self.port}"
        self.ca_file = authority
        self.certificates = directory / "certificates"
        self.certificates.mkdir()
        shutil.copy(authority, self.certificates / "ca.crt")
        configuration = [
            "version: 0.1",
            "log: {level: error}",
            f"storage: {{filesystem: {{rootdirectory: {directory}/storage}}, delete: {{enabled: true}}}}",
            f"http: {{addr: '127.0.0.1:{self.port}', tls: {{certificate: {certificate}, key: {certificate}}}}}",
            *auth,
        ]
        (directory / "config.yml").write_text("\n".join(configuration) + "\n")
        self._log = open(directory / "log", "wb")
        self._process = subprocess.Popen(["docker-registry", "serve", str(directory / "config.yml")], stdout=self._log, stderr=self._log)
        deadline = time.monotonic() + 30
        while True:
            assert self._process.poll() is None, (directory / "log").read_text()
            assert time.monotonic() < deadline, "the registry does not start"
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)

    def push(self, source, name, *words):
        """Copy an image into it."""
        skopeo("copy", "--dest-cert-dir", self.certificates, *words, source, f"docker://{self.host}/{name}")

    def digest(self, name, *words):
        """Return the digest of what a name leads to."""
        raw = run(
            "skopeo", "--insecure-policy", "inspect", "--raw", "--cert-dir", self.certificates, *words, f"docker://{self.host}/{name}"
        )
        return "sha256:" + hashlib.sha256(raw.encode()).hexdigest()

    def close(self):
        """Stop it."""
        self._process.terminate()
        self._process.wait(30)
        self._log.close()


class TokenServer:
    """Gives tokens that docker-registry believes, to who has a password; writes down what it was asked.

    Args:
        site: where it answers.
        key: an EC private key.
        certificate: of that key, which the registry trusts.
        users: name -> password.
    """

    def __init__(self, site, key, certificate, users):
        self._key = key
        self._certificate = certificate
        self._users = users
        self.asked = []
        site.pages = _Everything(self._answer)

    def _answer(self, request):
        from urllib.parse import parse_qs, urlsplit

        query = parse_qs(urlsplit(request.path).query)
        given = request.headers.get("Authorization", "")
        self.asked.append((query, given))
        user, _colon, password = base64.b64decode(given.partition(" ")[2] or b"Og==").decode().partition(":")
        if given and self._users.get(user) != password:
            request.reply(b"", status=401, WWW_Authenticate='Basic realm="tokens"')
            return
        kind, name, actions = query["scope"][0].split(":")
        granted = [action for action in actions.split(",") if given or action == "pull"]
        access = [{"type": kind, "name": name, "actions": granted}]
        request.reply(json.dumps({"token": self._token(query["service"][0], user, access)}).encode(), Content_Type="application/json")

    def _token(self, service, user, access):
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, utils

        now = int(time.time())
        head = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(self._certificate).decode()]}
        claims = {"iss": "tests", "sub": user, "aud": service, "exp": now + 300, "nbf": now - 60, "iat": now, "jti": "1", "access": access}
        text = b".".join(_encoded(json.dumps(part).encode()) for part in (head, claims))
        first, second = utils.decode_dss_signature(self._key.sign(text, ec.ECDSA(hashes.SHA256())))
        return (text + b"." + _encoded(first.to_bytes(32, "big") + second.to_bytes(32, "big"))).decode()


class _Everything(dict):
    def __init__(self, answer):
        super().__init__()
        self._answer = answer

    def get(self, key, default=None):
        return default if isinstance(key, tuple) else self._answer


def _encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def busybox(root, *links):
    """Put a static busybox into a tree."""
    (root / "bin").mkdir(exist_ok=True)
    shutil.copy(shutil.which("busybox"), root / "bin" / "busybox")
    for name in links:
        os.symlink("busybox", root / "bin" / name)
