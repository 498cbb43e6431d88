# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""`rocket image sign` with the real GnuPG: what may be signed, by which key, and what appears."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from _rocket import command
from _rocket.cli import main
from _rocket.image.build import build
from _rocket.image.check import inspect
from _rocket.spec.image_manifest import ImageManifest

pytest.importorskip("cryptography", reason="missing ability: the Python package cryptography")

PACKAGE = str(Path(main.__file__).resolve().parents[2])
MANIFEST = {
    "acKind": "ImageManifest",
    "acVersion": "0.8.11",
    "name": "example.com/shop/web",
    "labels": [{"name": "version", "value": "1.0"}],
}
# Asks nobody: says what is in a file, or cancels where there is none; keeps what it was told.
PINENTRY = """#!/bin/sh
echo "OK Pleased to meet you"
while read -r word rest; do
    echo "$word $rest" >>{place}/told
    case $word in
        GETPIN)
            if [ -e {place}/pin ]; then echo "D $(cat {place}/pin)"; echo OK; else echo "ERR 83886179 Operation cancelled"; fi ;;
        BYE) echo OK; exit 0 ;;
        *) echo OK ;;
    esac
done
"""
# Stands before the real one and does something else when it is to sign.
FALSE_GPG = """#!/bin/sh
case " $* " in *" --detach-sign "*) {deed} ;; esac
exec {gpg} "$@"
"""


class Keys:
    """A home of GnuPG with keys of all kinds."""

    def __init__(self, home):
        self.home = str(home)
        os.chmod(home, 0o700)
        self.pinentry = home / "pinentry"
        self.pinentry.write_text(PINENTRY.format(place=home))
        self.pinentry.chmod(0o755)
        (home / "gpg-agent.conf").write_text(f"pinentry-program {self.pinentry}\n")
        self.made = {}

    def run(self, *words, passphrase="", data=None):
        argv = ["gpg", "--homedir", self.home, "--batch", "--quiet", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", passphrase]
        done = subprocess.run([*argv, *words], input=data, capture_output=True, timeout=120, check=False)
        if done.returncode:
            raise RuntimeError(f"gpg {' '.join(words)}: {done.stderr.decode()}")
        return done.stdout

    def key(self, name, algorithm="ed25519", usage="sign,cert", expire="1d", passphrase="", at=""):
        if name not in self.made:
            when = ["--faked-system-time", f"{at}!"] if at else []
            self.run(*when, "--quick-generate-key", f"{name} <{name}@example.com>", algorithm, usage, expire, passphrase=passphrase)
            self.made[name] = self.fingerprints(f"={name} <{name}@example.com>")[0]
        return self.made[name]

    def fingerprints(self, name):
        listing = self.run("--with-colons", "--list-keys", name).decode()
        return [line.split(":")[9].lower() for line in listing.splitlines() if line.startswith("fpr")]

    def subkey(self, primary, algorithm, usage="sign"):
        self.run("--quick-add-key", primary, algorithm, usage, "1d")
        return self.fingerprints(primary)[-1]

    def stop(self):
        subprocess.run(["gpgconf", "--homedir", self.home, "--kill", "all"], timeout=30, check=False)


def fresh(tmp_path_factory):
    made = Keys(tmp_path_factory.mktemp("g"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Several keys, so that one has to be named."""
    for program in ("gpg", "gpgconf"):
        if not any(os.access(f"{directory}/{program}", os.X_OK) for directory in command.SEARCHED):
            pytest.skip(f"missing ability: the program {program}")
    yield from fresh(tmp_path_factory)


@pytest.fixture(scope="module")
def only(keys, tmp_path_factory):
    """A home with one key."""
    for made in fresh(tmp_path_factory):
        made.key("release")
        yield made


@pytest.fixture
def aci(tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "x").write_bytes(b"x" * 5000)
    build(str(tmp_path / "tree"), ImageManifest.from_json(MANIFEST), str(tmp_path / "web.aci"))
    return tmp_path / "web.aci"


@pytest.fixture
def rocket(paths, capfd, monkeypatch):
    """Call the command; return status, output and errors."""
    monkeypatch.delenv("GNUPGHOME", raising=False)

    def call(*words):
        status = main.main([f"--dir={paths.data}", f"--local-config={paths.local}", f"--system-config={paths.system}", *map(str, words)])
        captured = capfd.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture
def sign(rocket):
    def call(keys, path, *words):
        return rocket("image", "sign", f"--gpg-homedir={keys.home}", *words, path)

    return call


def facts(path):
    """Return what changes when a file is written or replaced."""
    found = os.lstat(path)
    return found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def signer_of(keys, signature, data):
    """Return the fingerprint of the key or subkey that made a good signature, by GnuPG's own judgement."""
    argv = ["gpg", "--homedir", keys.home, "--batch", "--status-fd", "1", "--verify", str(signature), str(data)]
    lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    return next(line.split()[2] for line in lines if line.startswith("[GNUPG:] VALIDSIG")).lower()


@pytest.mark.spec("A7", "A8")
def test_a_signed_image_is_one_that_is_fetched(sign, rocket, only, aci, tmp_path):
    (fingerprint,) = only.fingerprints("release")
    status, output, errors = sign(only, aci)
    assert (status, output) == (0, f"{aci}.asc\n"), errors
    grouped = " ".join(fingerprint.upper()[at : at + 4] for at in range(0, 40, 4))
    for part in (inspect(str(aci)).image_id, "example.com/shop/web:1.0", grouped, "release <release@example.com>"):
        assert part in errors
    assert Path(f"{aci}.asc").read_text().startswith("-----BEGIN PGP SIGNATURE-----\n")
    assert oct(os.stat(f"{aci}.asc").st_mode)[-3:] == "644"
    (tmp_path / "key.asc").write_bytes(only.run("--armor", "--export", fingerprint))
    assert rocket("trust", "--prefix=example.com/shop", f"--fingerprint={fingerprint}", tmp_path / "key.asc")[0] == 0
    assert rocket("fetch", aci)[0] == 0
    (image,) = json.loads(rocket("image", "list", "--format=json")[1])
    assert image["verdict"]["signers"][0]["fingerprint"] == fingerprint


def test_signing_again_changes_nothing(sign, only, aci):
    assert sign(only, aci)[0] == 0
    before = facts(f"{aci}.asc"), Path(f"{aci}.asc").read_bytes()
    status, output, errors = sign(only, aci)
    assert (status, output) == (0, f"{aci}.asc\n") and "nothing to do" in errors
    assert (facts(f"{aci}.asc"), Path(f"{aci}.asc").read_bytes()) == before
    assert sign(only, aci, "--quiet") == (0, f"{aci}.asc\n", "")


@pytest.mark.parametrize("algorithm", ["rsa2048", "ed25519", "nistp256", "nistp384"])
def test_every_kind_of_key_that_counts(sign, keys, aci, algorithm):
    fingerprint = keys.key(algorithm, algorithm)
    status, _output, errors = sign(keys, aci, f"--key={fingerprint.upper()}")
    assert status == 0, errors
    assert signer_of(keys, f"{aci}.asc", aci) == fingerprint
    # Digest algorithm 10 is SHA-512.
    listing = subprocess.run(["gpg", "--list-packets", f"{aci}.asc"], capture_output=True, text=True, check=True).stdout
    assert "digest algo 10" in listing and "sigclass 0x00" in listing


def test_a_subkey_signs_for_its_key(sign, keys, aci):
    primary = keys.key("certifier", usage="cert")
    first, second = keys.subkey(primary, "rsa2048"), keys.subkey(primary, "ed25519")
    for wanted in (first, second):
        assert sign(keys, aci, f"--key={wanted}")[0] == 0
        assert signer_of(keys, f"{aci}.asc", aci) == wanted
        # It counts as one by the key, whichever part made it.
        assert "nothing to do" in sign(keys, aci, f"--key={primary}")[2]
        os.unlink(f"{aci}.asc")
    assert sign(keys, aci, f"--key={primary}")[0] == 0
    assert signer_of(keys, f"{aci}.asc", aci) in (first, second)


@pytest.mark.parametrize(
    ("name", "options", "code"),
    [
        ("rsa1024", {"algorithm": "rsa1024"}, "RSA 1024"),
        ("dsa", {"algorithm": "dsa2048"}, "DSA"),
        ("expired", {"expire": "10d", "at": "20240101T000000"}, "expired on 2024-01-11"),
        ("bare", {"usage": "cert"}, "not for signing"),
    ],
)
def test_a_key_that_nobody_would_accept_signs_nothing(sign, keys, aci, name, options, code):
    fingerprint = keys.key(name, **options)
    status, output, errors = sign(keys, aci, f"--key={fingerprint}")
    assert (status, output) == (254, "") and errors.count("\n") == 1
    assert code in errors and fingerprint in errors
    assert not os.path.exists(f"{aci}.asc")


def test_a_revoked_key_signs_nothing(sign, keys, aci):
    fingerprint = keys.key("revoked")
    revocation = Path(keys.home, "openpgp-revocs.d", f"{fingerprint.upper()}.rev").read_text().replace(":-----BEGIN", "-----BEGIN")
    keys.run("--import", data=revocation.encode())
    status, _output, errors = sign(keys, aci, f"--key={fingerprint}")
    assert status == 254 and "revoked" in errors and not os.path.exists(f"{aci}.asc")


def test_which_key_is_said_or_clear(sign, keys, only, aci, tmp_path):
    first, second = keys.key("ed25519"), keys.key("nistp256", "nistp256")
    status, _output, errors = sign(keys, aci)
    assert status == 254 and "--key=FINGERPRINT" in errors and first in errors and second in errors
    status, _output, errors = sign(only, aci, f"--key={first}")
    assert status == 254 and f"no secret key {first}" in errors
    for short in (first[-16:], first[:39], "ed25519@example.com"):
        status, _output, errors = sign(only, aci, f"--key={short}")
        assert status == 254 and "40 hex digits" in errors
    public = tmp_path / "public"
    public.mkdir(mode=0o700)
    data = only.run("--export", "release")
    subprocess.run(["gpg", "--homedir", str(public), "--batch", "--quiet", "--import"], input=data, check=True, capture_output=True)
    (fingerprint,) = only.fingerprints("release")
    status, _output, errors = sign(type("Home", (), {"home": public}), aci, f"--key={fingerprint}")
    subprocess.run(["gpgconf", "--homedir", str(public), "--kill", "all"], check=False)
    assert status == 254 and "no secret key" in errors
    assert not os.path.exists(f"{aci}.asc")


def test_the_only_key_that_can_sign_need_not_be_named(sign, tmp_path_factory, keys, aci):
    for home in fresh(tmp_path_factory):
        home.key("past", expire="10d", at="20240101T000000")
        home.key("bare", usage="cert")
        fingerprint = home.key("release")
        assert sign(home, aci)[0] == 0
        assert signer_of(home, f"{aci}.asc", aci) == fingerprint


def test_a_subkey_that_is_for_something_else_is_refused_by_its_name(sign, keys, aci):
    primary = keys.key("mixed")
    signing, subkey = keys.subkey(primary, "ed25519"), keys.subkey(primary, "cv25519", "encr")
    status, _output, errors = sign(keys, aci, f"--key={subkey}")
    assert status == 254 and f"cannot sign images: subkey {subkey}" in errors and signing not in errors and not os.path.exists(f"{aci}.asc")


def test_where_there_are_no_keys_none_are_made(rocket, keys, aci, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    for home in (tmp_path / "empty", tmp_path / "none"):
        status, _output, errors = rocket("image", "sign", f"--gpg-homedir={home}", aci)
        assert status == 254 and "no secret key" in errors and str(home) in errors
    monkeypatch.setenv("HOME", str(tmp_path / "none"))
    assert f"{tmp_path}/none/.gnupg" in rocket("image", "sign", aci)[2]
    monkeypatch.setenv("GNUPGHOME", str(tmp_path / "empty"))
    assert f"{tmp_path}/empty" in rocket("image", "sign", aci)[2]
    assert os.listdir(tmp_path / "empty") == [] and not (tmp_path / "none").exists()


def test_the_home_of_the_keys_is_left_as_it_was(sign, only, aci):
    def listing():
        return sorted((path.name, path.stat().st_mtime_ns) for path in Path(only.home).iterdir() if not path.name.startswith("S."))

    only.run("--list-secret-keys")
    trustdb = Path(only.home, "trustdb.gpg")
    trustdb.unlink(missing_ok=True)
    before = listing()
    assert sign(only, aci)[0] == 0
    assert listing() == before


@pytest.mark.parametrize("damage", ["junk", "cut", "flipped", "bare tar", "empty"])
def test_what_is_no_image_is_not_signed(sign, only, aci, monkeypatch, damage):
    data = aci.read_bytes()
    made = {"junk": b"junk" * 1000, "cut": data[:-20], "flipped": data[:500] + b"\0" + data[501:], "bare tar": bytes(10240), "empty": b""}
    aci.write_bytes(made[damage])
    told = Path(only.home, "told")
    status, output, errors = sign(only, aci)
    assert (status, output) == (254, "") and str(aci) in errors
    assert not os.path.exists(f"{aci}.asc") and not told.exists()


def test_what_is_no_file_is_not_signed(sign, only, tmp_path):
    os.mkfifo(tmp_path / "pipe.aci")
    (tmp_path / "directory.aci").mkdir()
    (tmp_path / "web.tar").write_bytes(b"")
    for name, message in (("pipe.aci", "regular file"), ("directory.aci", "regular file"), ("none.aci", "No such file"), ("web.tar", "A1")):
        status, _output, errors = sign(only, tmp_path / name)
        assert status == 254 and message in errors and name in errors
    assert sorted(os.listdir(tmp_path)) == ["directory.aci", "pipe.aci", "web.tar"]


def test_another_signature_stays_unless_it_may_go(sign, keys, aci):
    one, other = keys.key("ed25519"), keys.key("nistp256", "nistp256")
    assert sign(keys, aci, f"--key={one}")[0] == 0
    before = Path(f"{aci}.asc").read_bytes()
    status, _output, errors = sign(keys, aci, f"--key={other}")
    assert status == 254 and other in errors and one in errors and "--overwrite" in errors
    assert Path(f"{aci}.asc").read_bytes() == before
    assert sign(keys, aci, f"--key={other}", "--overwrite")[0] == 0
    assert signer_of(keys, f"{aci}.asc", aci) == other


@pytest.mark.parametrize("kind", ["of another file", "junk", "large", "link", "directory"])
def test_what_is_in_the_way_of_the_signature_stays(sign, only, aci, tmp_path, kind):
    place = Path(f"{aci}.asc")
    if kind == "of another file":
        assert sign(only, aci)[0] == 0
        (tmp_path / "tree" / "more").write_text("x")
        build(str(tmp_path / "tree"), ImageManifest.from_json(MANIFEST), str(aci), overwrite=True)
    elif kind in ("junk", "large"):
        place.write_bytes(b"junk" * (10 if kind == "junk" else 100_000))
    elif kind == "link":
        place.symlink_to(tmp_path / "elsewhere")
    else:
        place.mkdir()
    before = facts(place)
    status, _output, errors = sign(only, aci)
    assert status == 254 and "another signature" in errors
    assert facts(place) == before
    if kind != "directory":
        assert sign(only, aci, "--overwrite")[0] == 0
        assert not place.is_symlink() and signer_of(only, place, aci) == only.fingerprints("release")[0]
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("pin", "message"),
    [("right", ""), ("wrong", "Bad passphrase"), (None, "cancelled")],
)
def test_the_passphrase_is_gnupgs_affair(sign, keys, aci, tmp_path, pin, message):
    fingerprint = keys.key("locked", passphrase="right")
    keys.stop()
    place = Path(keys.home, "pin")
    place.unlink(missing_ok=True)
    if pin:
        place.write_text(pin)
    status, output, errors = sign(keys, aci, f"--key={fingerprint}")
    assert "right" not in errors.replace("the right passphrase", "")
    if message:
        assert (status, output) == (254, "") and message in errors and "again" in errors
        assert sorted(os.listdir(tmp_path)) == ["tree", "web.aci"]
    else:
        assert status == 0, errors


def test_where_nobody_can_be_asked_the_remedy_is_named(sign, keys, aci):
    fingerprint = keys.key("locked", passphrase="right")
    keys.stop()
    configuration = Path(keys.home, "gpg-agent.conf")
    before = configuration.read_text()
    configuration.write_text("pinentry-program /nonexistent/pinentry\n")
    try:
        status, _output, errors = sign(keys, aci, f"--key={fingerprint}")
    finally:
        configuration.write_text(before)
        keys.stop()
    assert status == 254 and "nobody can be asked" in errors and not os.path.exists(f"{aci}.asc")


@pytest.fixture
def false_gpg(keys, tmp_path, monkeypatch):
    """Put a program in the place of gpg that does `deed` when it is to sign, and is the real one otherwise."""
    real = command.find_program("gpg")

    def make(deed):
        (tmp_path / "false").mkdir(exist_ok=True)
        program = tmp_path / "false" / "gpg"
        program.write_text(FALSE_GPG.format(deed=deed, gpg=real))
        program.chmod(0o755)
        monkeypatch.setattr(command, "SEARCHED", (str(tmp_path / "false"), *command.SEARCHED))

    return make


@pytest.mark.parametrize("lie", ["other data", "other key", "weak digest", "binary", "junk", "nothing", "text", "inline"])
def test_nothing_that_gpg_writes_is_believed(sign, keys, aci, false_gpg, lie):
    fingerprint, other = keys.key("ed25519"), keys.key("nistp256", "nistp256")
    own, sign_it = f"gpg --homedir {keys.home} --batch --local-user {fingerprint}", "--armor --detach-sign"
    false_gpg(
        {
            "other data": f"echo other | {own} {sign_it}",
            "other key": f"gpg --homedir {keys.home} --batch --local-user {other} {sign_it}",
            "weak digest": f"{own} --digest-algo SHA1 {sign_it}",
            "binary": f"{own} --no-armor --detach-sign",
            "junk": "echo junk",
            "nothing": "true",
            "text": f"{own} --textmode {sign_it}",
            "inline": f"{own} --armor --sign",
        }[lie]
        + "; exit 0"
    )
    status, output, errors = sign(keys, aci, f"--key={fingerprint}")
    assert (status, output) == (254, "") and errors.splitlines()[-1].startswith("rocket: ")
    assert not os.path.exists(f"{aci}.asc")


def test_a_file_that_changes_while_it_is_signed_is_not_signed(sign, keys, aci, false_gpg):
    """The signature fits what the file is now, and that is not what was looked at."""
    false_gpg(f"printf 'X' | dd of={aci} bs=1 seek=100 conv=notrunc 2>/dev/null")
    status, _output, errors = sign(keys, aci, f"--key={keys.key('ed25519')}")
    assert status == 254 and "changed while it was signed" in errors
    assert not os.path.exists(f"{aci}.asc")


def test_gpg_gets_what_it_needs_of_the_environment_and_nothing_else(sign, keys, aci, false_gpg, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "s3cret")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("LD_PRELOAD_NOT", "x")
    inherited = os.open(__file__, os.O_RDONLY)
    os.set_inheritable(inherited, True)
    false_gpg(f"/usr/bin/env >{tmp_path}/environment; ls -l /proc/$$/fd >{tmp_path}/descriptors")
    assert sign(keys, aci, f"--key={keys.key('ed25519')}")[0] == 0
    os.close(inherited)
    found = dict(line.split("=", 1) for line in (tmp_path / "environment").read_text().splitlines())
    assert set(found) - {"PWD", "SHLVL", "_", "OLDPWD"} == {"PATH", "LC_ALL", "HOME", "GNUPGHOME"}
    assert found["GNUPGHOME"] == keys.home and found["PATH"] == "/usr/sbin:/usr/bin:/sbin:/bin"
    held = [line.split(" -> ")[1] for line in (tmp_path / "descriptors").read_text().splitlines() if " -> " in line]
    assert held[0] == str(aci)
    assert {name for name in held if not name.startswith("pipe:")} <= {str(aci), f"{tmp_path}/descriptors", f"{tmp_path}/false/gpg"}


def at_a_terminal(words, answer=b""):
    """Run the command with a terminal of its own; return its exit status, and the name of the terminal and what it showed."""
    code = "import os, sys; print(os.ttyname(0), flush=True); "
    code += f"sys.path.insert(0, {PACKAGE!r}); from _rocket.cli.main import main; sys.exit(main(sys.argv[1:]))"
    child, terminal = pty.fork()
    if child == 0:
        os.environ["TERM"] = "vt100"
        os.execv(sys.executable, [sys.executable, "-c", code, *words])
    shown = b""
    while True:
        try:
            shown += os.read(terminal, 4096)
        except OSError:
            break
        if answer and shown.endswith(b"passphrase: "):
            # What is typed before the echo is off is thrown away.
            deadline = time.monotonic() + 30
            while termios.tcgetattr(terminal)[3] & termios.ECHO and time.monotonic() < deadline:
                time.sleep(0.01)
            os.write(terminal, answer)
            answer = b""
    os.close(terminal)
    name, _newline, text = shown.decode().partition("\r\n")
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), name, text


@pytest.fixture
def locked(keys):
    """A key whose passphrase nobody has said yet."""
    fingerprint = keys.key("locked", passphrase="right")
    keys.stop()
    Path(keys.home, "told").unlink(missing_ok=True)
    Path(keys.home, "pin").unlink(missing_ok=True)
    return fingerprint


def test_the_agent_is_told_at_which_terminal_a_person_sits(keys, locked, aci):
    Path(keys.home, "pin").write_text("right")
    status, name, text = at_a_terminal(["image", "sign", f"--gpg-homedir={keys.home}", f"--key={locked}", str(aci)])
    assert status == 0, text
    told = Path(keys.home, "told").read_text()
    assert f"OPTION ttyname={name}\n" in told and "OPTION ttytype=vt100" in told


def test_gpg_itself_may_ask_at_the_terminal(keys, locked, aci):
    configuration = Path(keys.home, "gpg.conf")
    configuration.write_text("pinentry-mode loopback\n")
    try:
        status, _name, text = at_a_terminal(["image", "sign", f"--gpg-homedir={keys.home}", f"--key={locked}", str(aci)], b"right\n")
    finally:
        configuration.unlink()
    assert status == 0 and "passphrase" in text, text
    assert signer_of(keys, f"{aci}.asc", aci) == locked


def test_without_gpg_it_says_what_to_install(sign, keys, aci, monkeypatch, tmp_path):
    monkeypatch.setattr(command, "SEARCHED", (str(tmp_path),))
    status, _output, errors = sign(keys, aci)
    assert status == 254 and "install gpg" in errors and errors.count("\n") == 1
