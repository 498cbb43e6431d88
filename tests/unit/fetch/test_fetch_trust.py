# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""fetch and trust put together: a key of GnuPG, the real verifier, a real server, the real store."""

from __future__ import annotations

import shutil
import subprocess
import tempfile

import pytest
from fetch_site import archive

from _rocket.errors import TrustError
from _rocket.fetch.fetcher import Fetcher
from _rocket.trust.keyring import Keyring
from _rocket.trust.late import LateVerifier


@pytest.fixture
def signer(program):
    """Return (fingerprint, armored public key, sign) of a new key."""
    gpg, conf = program("gpg"), program("gpgconf")
    # Short, because the path of an agent's socket is.
    home = tempfile.mkdtemp(prefix="g")

    def run(*arguments, data=b""):
        options = (gpg, "--homedir", home, "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "")
        return subprocess.run([*options, *arguments], input=data, capture_output=True, check=True).stdout

    try:
        run("--quick-generate-key", "Release <release@example.com>", "ed25519", "sign", "never")
        listing = run("--with-colons", "--list-keys").decode()
        fingerprint = [line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr:")][0].lower()
        yield fingerprint, run("--armor", "--export", fingerprint), lambda data: run("--armor", "--detach-sign", data=data)
    finally:
        subprocess.run([conf, "--homedir", home, "--kill", "all"], check=False, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)


@pytest.mark.spec("A11")
def test_an_image_enters_by_a_trusted_key_and_by_no_other(site, store, paths, options, signer):
    fingerprint, key, sign = signer
    keyring = Keyring(paths)
    fetcher = Fetcher(store, LateVerifier(paths), options)
    data = archive()
    site.publish(data, signature=sign(data))
    with pytest.raises(TrustError) as caught:
        fetcher.fetch("example.com/app")
    assert caught.value.code == "signer-unknown" and site.requests == []
    keyring.add(key, fingerprint, "example.com/app2")
    with pytest.raises(TrustError):
        fetcher.fetch("example.com/app")
    keyring.add(key, fingerprint, "example.com/app")
    site.pages["/images/app.aci"] = archive(files={"rootfs/hello": b"evil\n"})
    with pytest.raises(TrustError) as caught:
        fetcher.fetch("example.com/app")
    assert caught.value.code == "signature-bad" and store.ids() == []
    site.pages["/images/app.aci"] = data
    record = fetcher.fetch("example.com/app")
    assert record.verdict.kind == "signed" and [one.fingerprint for one in record.verdict.signers] == [fingerprint]
