# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""docs/key-rotation.md, from its first command to its last: GnuPG, a web server, ansible-playbook and a pod, as it stands there."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import pytest
from fetch_site import discovery_page
from test_ansible_modules import TARGET_PYTHON

TOP = pathlib.Path(__file__).resolve().parents[2]
TEXT = (TOP / "docs" / "key-rotation.md").read_text(encoding="utf-8")
# A line that ends in a colon says where the block behind it belongs; what a command says when it is refused stands behind that.
STEP = re.compile(
    r"^(?:On|In) (?P<place>a host|the [a-z]+(?: machine)?)(?:, `(?P<file>[\w/.]+)`)?[^\n]*:\n\n"
    r"```(?P<kind>sh|yaml)\n(?P<block>.*?)^```\n(?:\n```text\n(?P<refusal>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)
KEYS = {digit * 40: year for digit, year in (("1", "2026"), ("2", "2027"), ("3", "2028"))}
PLACES = ("the offline machine", "the build machine", "the repository", "a host")


def test_every_block_of_the_page_belongs_to_a_step():
    found = list(STEP.finditer(TEXT))
    blocks = re.findall(r"^```(\w+)\n", TEXT, re.MULTILINE)
    assert len(found) + sum(1 for step in found if step["refusal"]) == len(blocks)
    assert {step["place"] for step in found} == set(PLACES)


class World:
    """The four places of the page."""

    def __init__(self, directory, keys, site, authority, collections):
        self.site = site
        self.places = {name: directory / name.split()[-2 if "machine" in name else -1] for name in PLACES}
        for place in self.places.values():
            place.mkdir()
        self.www = directory / "www"
        self.www.mkdir()
        self.fingerprints = {}
        host, bin_ = self.places["a host"], directory / "bin"
        bin_.mkdir()
        start = "import sys; from _rocket.cli.main import main; sys.exit(main(sys.argv[1:]))"
        places = f"--dir={host}/data --local-config={host}/etc --system-config={host}/usr"
        self.program(bin_ / "rocket", f'PYTHONPATH={TOP}/plugins/module_utils exec {TARGET_PYTHON} -c "{start}" {places} "$@"')
        self.program(bin_ / "gpg", f'exec {shutil.which("gpg")} --batch --quiet --yes --pinentry-mode loopback --passphrase "" "$@"')
        path = f"{bin_}:{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
        ansible = {"ANSIBLE_COLLECTIONS_PATH": collections, "ANSIBLE_HOME": f"{directory}/ansible", "ANSIBLE_NOCOLOR": "1"}
        ansible["ANSIBLE_LOCALHOST_WARNING"] = "false"
        self.environment = {**os.environ, **ansible, "PATH": path, "SITE": str(self.www)}
        self.homes = {"the offline machine": keys / "o", "the build machine": keys / "b"}
        for home in self.homes.values():
            home.mkdir(mode=0o700)
        site.pages["/shop/web?ac-discovery=1"] = discovery_page("example.com/shop https://example.com/images/web-{version}.{ext}")
        repository = self.places["the repository"]
        (repository / "keys").mkdir()
        (repository / "inventory").write_text(f"[rocket]\nhere ansible_connection=local ansible_python_interpreter={TARGET_PYTHON}\n")
        (repository / "host_vars").mkdir()
        variables = {
            "host_packages": [],
            "rocket_data_dir": f"{host}/data",
            "rocket_config_dir": f"{host}/etc",
            "rocket_libexec_dir": f"{host}/libexec",
            "rocket_bin_dir": f"{host}/bin",
            "rocket_ca_file": authority.file,
            "rocket_connect_to": [f"example.com=127.0.0.1:{site.port}"],
        }
        (repository / "host_vars" / "here.yml").write_text(json.dumps(variables))

    @staticmethod
    def program(path, line):
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)

    def own(self, text):
        """Put the fingerprints that were made into the place of those of the page."""
        for written, year in KEYS.items():
            text = text.replace(written, self.fingerprints.get(year, written))
        return text

    def do(self, step):
        """Do what a block says; return what it wrote."""
        place, file, kind, block, refusal = step.group("place", "file", "kind", "block", "refusal")
        where = self.places[place]
        if kind == "yaml":
            (where / file).parent.mkdir(parents=True, exist_ok=True)
            (where / file).write_text("---\n" + self.own(block))
            return ""
        environment = {**self.environment, "GNUPGHOME": str(self.homes.get(place, "/nonexistent"))}
        if place == "the offline machine":
            # The first command makes the key whose fingerprint the others name.
            first, block = block.split("\n", 1)
            self.run(first, where, environment)
            self.learn(first, environment)
        done = self.run(self.own(block), where, environment, refused=bool(refusal))
        if refusal:
            assert done.stderr.splitlines()[-1] == self.own(refusal).strip()
        self.carry(place)
        self.publish()
        return done.stdout

    def run(self, block, where, environment, refused=False):
        words = ["bash", "-euo", "pipefail", "-c", block]
        done = subprocess.run(words, cwd=where, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert (done.returncode != 0) == refused, (block, done.stdout[-3000:], done.stderr[-3000:])
        return done

    def learn(self, command, environment):
        identity = re.search(r'"(.*?)"', command)[1]
        words = ["gpg", "--with-colons", "--list-keys", f"={identity}"]
        listing = subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout
        year = re.search(r"\d{4}", identity)[0]
        self.fingerprints[year] = next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr")).lower()

    def carry(self, place):
        """Carry what the offline machine wrote to where the page says."""
        if place == "the offline machine":
            for path in self.places[place].glob("*.asc"):
                to = self.places["the build machine"] if "signing" in path.name else self.places["the repository"] / "keys"
                shutil.move(str(path), str(to / path.name))

    def publish(self):
        for path in self.www.iterdir():
            self.site.pages[f"/images/{path.name}"] = path.read_bytes()

    def rocket(self, *words, status=0):
        done = subprocess.run(["rocket", *words], env=self.environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == status, (words, done.stdout, done.stderr)
        return done.stdout if status == 0 else done.stderr

    def pod(self):
        """Return what makes a pod the same one, still running: its UUID, and the number and begin of its app's process."""
        status = json.loads(self.rocket("status", "--format=json", "shop"))
        (app,) = status["apps"]
        begun = pathlib.Path(f"/proc/{app['pid']}/stat").read_text().rpartition(")")[2].split()[19]
        assert status["state"] == "running"
        return status["uuid"], app["pid"], begun

    def signers(self, version):
        """Return by whose signatures the stored image of a version stands."""
        images = json.loads(self.rocket("image", "list", "--format=json"))
        (image,) = [each for each in images if each["labels"]["version"] == version]
        years = {fingerprint: year for year, fingerprint in self.fingerprints.items()}
        return [years[signer["fingerprint"]] for signer in image["verdict"]["signers"]]

    def asked(self):
        """Return which files of images the site was asked for since the last time."""
        found = [path for path in self.site.asked() if path.startswith("/images/")]
        self.site.requests.clear()
        return found

    def close(self):
        self.rocket("stop", "--force", "shop")
        for home in self.homes.values():
            subprocess.run(["gpgconf", "--kill", "all"], env={**self.environment, "GNUPGHOME": str(home)}, check=False)


@pytest.fixture
def world(tmp_path, site, authority, collections, root, program):
    for name in ("gpg", "gpgconf", "busybox"):
        program(name)
    if not os.path.exists(TARGET_PYTHON):
        pytest.skip(f"missing ability: the program {TARGET_PYTHON}")
    # The socket of GnuPG's agent needs a short path.
    with tempfile.TemporaryDirectory(prefix="g") as keys:
        made = World(tmp_path, pathlib.Path(keys), site, authority, collections)
        yield made
        made.close()


def test_the_page_as_it_stands(world):
    steps = [(match.start(), match) for match in STEP.finditer(TEXT)]
    titles = [(match.start(), match[1]) for match in re.finditer(r"^##+ (.*)$", TEXT, re.MULTILINE)]

    def part(title):
        begin = next(at for at, found in titles if found == title)
        end = next((at for at, _found in titles if at > begin), len(TEXT))
        return [step for at, step in steps if begin < at < end]

    image, signature = "/images/web-1.0.0.aci", "/images/web-1.0.0.aci.asc"
    for step in part("Where private keys belong"):
        world.do(step)
    secret = subprocess.run(
        ["gpg", "--with-colons", "--list-secret-keys"],
        env={**world.environment, "GNUPGHOME": str(world.homes["the build machine"])},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert [line.split(":")[14] for line in secret.splitlines() if line.startswith("sec")] == ["#"], "no secret primary key is there"
    began = world.pod()
    assert set(world.asked()) == {image, signature} and world.signers("1.0.0") == ["2026"]
    # The old version was fetched while its key was trusted: it is in the store.
    world.rocket("fetch", f"{world.www}/web-0.9.0.aci")
    (old,) = [each["id"] for each in json.loads(world.rocket("image", "list", "--format=json")) if each["labels"]["version"] == "0.9.0"]
    prepared = world.rocket("prepare", "example.com/shop/web:0.9.0").strip()

    for step in part("1. Both keys are trusted"):
        world.do(step)
    assert world.pod() == began and world.asked() == []

    before = (world.places["the build machine"] / "web-1.0.0.aci").read_bytes()
    for step in part("2. Images are signed by both"):
        world.do(step)
    assert (world.www / "web-1.0.0.aci").read_bytes() == before and signatures(world) == 2
    assert world.pod() == began and world.signers("1.0.0") == ["2026"]

    steps_of_three = part("3. The old key goes")
    for step in steps_of_three[:2]:
        output = world.do(step)
    assert world.asked() == [signature], "the signature, and not the image"
    assert world.signers("1.0.0") == ["2027"] and world.pod() == began
    assert "failed=0" in output
    again = world.do(steps_of_three[1])
    assert "changed=0" in again and world.asked() == []
    for step in steps_of_three[2:]:
        world.do(step)
    assert signatures(world) == 1, "the old signature is gone"
    assert world.signers("0.9.0") == ["2026"]
    for words in (["run-prepared", prepared], ["prepare", old]):
        assert world.fingerprints["2026"] in world.rocket(*words, status=254), "what was prepared before does not start either"
    assert world.pod() == began

    emergency = part("A key was stolen")
    reached = next(number for number, step in enumerate(emergency) if "--tags trust" in step["block"])
    for step in emergency[: reached + 1]:
        world.do(step)
    assert world.pod() == began and world.asked() == [] and world.signers("1.0.0") == ["2027"]
    stopped, listed = emergency[reached + 1], emergency[reached + 2]
    world.do(stopped)
    assert json.loads(world.rocket("status", "--format=json", "shop"))["state"] != "running"
    assert "web" in world.do(listed)
    # Nobody signed anew yet: the play says so, and starts nothing.
    failed = world.run("ansible-playbook -i inventory appc.rocket.site", world.places["the repository"], world.environment, refused=True)
    assert f"signed by {signing_key(world, '2027')}, which is not trusted for it" in failed.stdout, failed.stdout
    assert world.asked() == [signature]
    for step in emergency[reached + 3 :]:
        world.do(step)
    assert world.asked() == [signature] and world.signers("1.0.0") == ["2028"]
    assert world.pod() != began, "it was stopped, and runs again"
    # Were a key trusted again that was given up, what it signed would start again: the page warns of it, and so it is.
    key = world.places["the repository"] / "keys" / "2026.asc"
    world.rocket("trust", "--prefix=example.com/shop", f"--fingerprint={world.fingerprints['2026']}", str(key))
    assert world.rocket("prepare", old)


def signatures(world):
    """Return how many signatures the published file has."""
    from _rocket.trust.openpgp.signature import read_detached

    return len(read_detached((world.www / "web-1.0.0.aci.asc").read_bytes(), "x"))


def signing_key(world, year):
    """Return the fingerprint of the subkey that signs."""
    environment = {**world.environment, "GNUPGHOME": str(world.homes["the offline machine"])}
    words = ["gpg", "--with-colons", "--show-keys", f"{world.places['the repository']}/keys/{year}.asc"]
    listing = subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout
    return [line.split(":")[9].lower() for line in listing.splitlines() if line.startswith("fpr")][-1]
