# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Over the air gap by the command: a bundle is written on one host, and fetched, verified and run on another one without network."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from bundles import image_id, names
from rocket_command import Rocket

PREFIX = "example.com/shop"
DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE, DECISION = ((DOCS / name).read_text(encoding="utf-8") for name in ("air-gap.md", "adr/0008-bundles.md"))


class Signer:
    """A key of GnuPG: signs files, and is exported for keyrings."""

    def __init__(self, home):
        self.home = home
        home.mkdir(mode=0o700)
        self._gpg("--quick-generate-key", "Shop Release <release@example.com>", "ed25519", "sign", "never")
        (home / "key.asc").write_text(self._gpg("--armor", "--export"))
        listing = self._gpg("--with-colons", "--list-keys")
        self.fingerprint = next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr"))

    def _gpg(self, *words):
        options = ["--homedir", str(self.home), "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
        return subprocess.run(["gpg", *options, *words], check=True, capture_output=True, text=True, timeout=120).stdout

    def sign(self, path):
        self._gpg("--armor", "--detach-sign", "--output", f"{path}.asc", str(path))

    def trusted_by(self, rocket, prefix=PREFIX):
        rocket("trust", f"--prefix={prefix}", f"--fingerprint={self.fingerprint}", str(self.home / "key.asc"))

    def close(self):
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], check=False)


@pytest.fixture(scope="module")
def signer(tmp_path_factory, program):
    for name in ("gpg", "gpgconf"):
        program(name)
    made = Signer(tmp_path_factory.mktemp("g") / "home")
    yield made
    made.close()


@pytest.fixture
def outside(root, program, tmp_path, signer):
    """The host that has the images."""
    program("busybox")
    made = Rocket(tmp_path / "outside", insecure=False)
    signer.trusted_by(made)
    return made


@pytest.fixture
def inside(root, tmp_path):
    """The host behind the gap, with nothing."""
    return Rocket(tmp_path / "inside", insecure=False)


@pytest.fixture
def publish(outside, tmp_path, signer):
    """Build an image, sign it, and have it in the store outside; return its image ID."""

    def make(name, files=None, busybox=False, sign=True, **members):
        tree = tmp_path / f"tree-{name}"
        (tree / "bin").mkdir(parents=True)
        if busybox:
            shutil.copy2(shutil.which("busybox"), tree / "bin" / "busybox")
            os.symlink("busybox", tree / "bin" / "sh")
        for path, content in (files or {}).items():
            (tree / path).write_text(content)
        manifest = {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": f"{PREFIX}/{name}", **members}
        manifest["labels"] = [{"name": "version", "value": "1.0"}]
        (tmp_path / f"{name}.json").write_text(json.dumps(manifest))
        output = tmp_path / f"{name}.aci"
        made = outside("image", "build", f"--manifest={tmp_path}/{name}.json", f"--output={output}", str(tree)).strip()
        if sign:
            signer.sign(output)
        outside("fetch", *([] if sign else [f"--image-id={made}"]), str(output))
        return made

    return make


def app(*needs, script="cat /who"):
    return {
        "dependencies": [{"imageName": f"{PREFIX}/{need}"} for need in needs],
        "app": {"exec": ["/bin/sh", "-c", script], "user": "0", "group": "0"},
    }


def test_what_is_carried_is_verified_by_the_keys_there_and_runs_without_network(outside, inside, publish, signer, tmp_path, program):
    program("unshare")
    base = publish("base", {"who": "base of the shop"}, busybox=True)
    web, bundle = publish("web", **app("base")), tmp_path / "shop.bundle"
    outside("image", "export", "--bundle", f"{PREFIX}/web:1.0", str(bundle))
    told = inside("fetch", f"bundle:{bundle}", status=254)
    assert "no key is trusted" in told and json.loads(inside("image", "list", "--format=json")) == []
    signer.trusted_by(inside)
    # Nothing but loopback, and that is down.
    alone = Rocket(tmp_path / "inside", insecure=False)
    alone.words = ["unshare", "--net", *alone.words]
    assert alone("fetch", f"bundle:{bundle}").split() == [web]
    listed = json.loads(inside("image", "list", "--format=json"))
    assert {row["id"]: row["verdict"]["signers"][0]["fingerprint"] for row in listed} == dict.fromkeys(
        (base, web), signer.fingerprint.lower()
    )
    assert alone("run", f"{PREFIX}/web") == "base of the shop"
    assert alone("fetch", f"bundle:{bundle}").split() == [web]
    # What came over goes on as it is.
    again = tmp_path / "again.bundle"
    inside("image", "export", "--bundle", web, str(again))
    assert again.read_bytes() == bundle.read_bytes()


def test_a_bundle_holds_each_image_once_after_what_it_depends_on(outside, publish, tmp_path):
    base = publish("base", {"who": "x"}, busybox=True)
    web, db = publish("web", **app("base")), publish("db", {"db": "x"}, **app("base"))
    bundle = tmp_path / "shop.bundle"
    images = (f"{PREFIX}/db", f"{PREFIX}/web", f"{PREFIX}/web:1.0")
    process = outside.start("image", "export", "--bundle", "--format=json", *images, str(bundle))
    out, err = process.communicate(timeout=120)
    found = json.loads(out)
    assert [(image["id"], image["named"], image["signatureSize"] > 0) for image in found["images"]] == [
        (base, False, True),
        (web, True, True),
        (db, True, True),
    ]
    assert found["size"] == os.path.getsize(bundle) and err == f"rocket: wrote {bundle}, 3 images, {found['size'] / 1024:.1f} KiB\n"
    assert names(bundle) == ["bundle.json", *(f"{number:03}.aci{end}" for number in (1, 2, 3) for end in (".asc", ""))]
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    subprocess.run(["tar", "-xf", str(bundle), "-C", str(unpacked)], check=True)
    for number, name in enumerate(("base", "web", "db"), 1):
        for end in ("", ".asc"):
            assert (unpacked / f"{number:03}.aci{end}").read_bytes() == (tmp_path / f"{name}.aci{end}").read_bytes()
    table = outside("image", "export", "--bundle", "--overwrite", f"{PREFIX}/db", str(bundle))
    assert [line.split()[1:] for line in table.splitlines()[1:]] == [
        [f"{PREFIX}/{name}", "1.0", *line.split()[3:5], "yes", named]
        for (name, named), line in zip((("base", "no"), ("db", "yes")), table.splitlines()[1:])
    ]
    first = bundle.read_bytes()
    outside("image", "export", "--bundle", "--overwrite", f"{PREFIX}/db", str(bundle))
    assert bundle.read_bytes() == first, "the same images make the same file"


def test_an_export_that_fails_leaves_nothing_and_replaces_nothing(outside, publish, tmp_path):
    base = publish("base", {"who": "x"}, busybox=True)
    publish("web", **app("base"))
    bundle = tmp_path / "shop.bundle"
    bundle.write_text("mine")
    assert "exists" in outside("image", "export", "--bundle", f"{PREFIX}/web", str(bundle), status=254)
    blob = tmp_path / "outside" / "data" / "images" / base / "aci"
    good = blob.read_bytes()
    blob.write_bytes(good[:30] + b"!" + good[31:])
    told = outside("image", "export", "--bundle", "--overwrite", f"{PREFIX}/web", str(bundle), status=254)
    assert "damaged" in told and base in told
    outside("image", "rm", base)
    told = outside("image", "export", "--bundle", "--overwrite", f"{PREFIX}/web", str(bundle), status=254)
    assert f"{PREFIX}/web: dependencies[0]: the dependency {PREFIX}/base is not in the store" in told
    assert "in .aci" in outside("image", "export", "--bundle", f"{PREFIX}/web", str(tmp_path / "x.aci"), status=254)
    assert "--bundle" in outside("image", "export", f"{PREFIX}/web", f"{PREFIX}/base", str(tmp_path / "x.aci"), status=254)
    assert "no image" in outside("image", "export", "--bundle", f"{PREFIX}/none", str(tmp_path / "x"), status=254)
    assert bundle.read_text() == "mine" and not [name for name in os.listdir(tmp_path) if name.startswith(".") or name == "x"]


def test_what_is_not_signed_is_told_when_it_is_written_and_refused_when_it_is_fetched(outside, inside, publish, tmp_path):
    web = publish("web", busybox=True, sign=False, **app(script="echo pinned"))
    bundle = tmp_path / "shop.bundle"
    process = outside.start("image", "export", "--bundle", f"{PREFIX}/web", str(bundle))
    told = process.communicate(timeout=120)[1]
    assert f"rocket: without a signature: {PREFIX}/web:1.0; they need a pinned image ID" in told
    assert "not signed" in inside("fetch", f"bundle:{bundle}", status=254)
    assert inside("fetch", f"--image-id={web}", f"bundle:{bundle}").strip() == web
    assert inside("run", f"{PREFIX}/web") == "pinned\n"


def test_a_bundle_that_was_changed_on_the_way_is_refused(outside, inside, publish, signer, tmp_path):
    publish("web", busybox=True, **app())
    bundle = tmp_path / "shop.bundle"
    outside("image", "export", "--bundle", f"{PREFIX}/web", str(bundle))
    signer.trusted_by(inside)
    data = bundle.read_bytes()
    for position in (600, len(data) // 2, len(data) - 1):
        bundle.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        told = inside("fetch", f"bundle:{bundle}", status=254)
        assert told.startswith("rocket: ") and told.count("\n") == 1
    for changed in (data[:-512], data + bytes(512)):
        bundle.write_bytes(changed)
        inside("fetch", f"bundle:{bundle}", status=254)
    assert json.loads(inside("image", "list", "--format=json")) == []
    assert os.listdir(tmp_path / "inside" / "data" / "staging") == []
    bundle.write_bytes(data)
    assert inside("fetch", f"bundle:{bundle}").strip() == image_id((tmp_path / "web.aci").read_bytes())
    assert "rocket fetch bundle:" in inside("run", f"bundle:{bundle}", status=254)


def typed(rocket, tmp_path, commands, **environment):
    """Run commands in a shell in which `rocket` is that of one host; return what they wrote."""
    wrapper = tmp_path / "bin" / "rocket"
    wrapper.parent.mkdir(exist_ok=True)
    wrapper.write_text(f'#!/bin/sh\nexec {shlex.join(rocket.words)} "$@"\n')
    wrapper.chmod(0o755)
    environment = {**os.environ, **environment, "PATH": f"{wrapper.parent}:{os.environ['PATH']}"}
    argv = ["unshare", "--net", "sh", "-euc", commands]
    done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, (commands, done.stdout, done.stderr)
    return done.stdout


def test_the_commands_of_the_page_work_as_written(outside, inside, publish, signer, tmp_path, program):
    for name in ("unshare", "tar"):
        program(name)
    write, fetch = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    publish("base", {"who": "the shop runs\n"}, busybox=True)
    publish("web", **app("base"))
    publish("db", {"db": "x"}, **app("base"))
    typed(outside, tmp_path, write)
    shutil.copy2(signer.home / "key.asc", tmp_path / "release.asc")
    assert typed(inside, tmp_path, fetch, FINGERPRINT=signer.fingerprint).splitlines()[-1] == "the shop runs"
    # What the page says of other programs: any tar takes the pieces out, and the pieces can be fetched in their order.
    third = Rocket(tmp_path / "third", insecure=False)
    signer.trusted_by(third)
    assert len(typed(third, tmp_path, "tar -xf shop.bundle; for each in 00?.aci; do rocket fetch ./$each; done").split()) == 3
    # And what the decision says of GNU tar.
    options = f"{re.search('`(--format=ustar .*?)`', DECISION)[1]} {re.search('`(--blocking-factor=1)`', DECISION)[1]}"
    listed = "bundle.json 001.aci.asc 001.aci 002.aci.asc 002.aci 003.aci.asc 003.aci"
    typed(third, tmp_path, f"tar {options} -cf again.bundle {listed}; cmp again.bundle shop.bundle")
