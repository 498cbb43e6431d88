# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Judge damaged signatures and keys, and show gpgv and sqv what was accepted: `mutants.py [--count N] [--seed N] [--jobs N]`.

Whatever our own reader accepts, each of the two has to accept as it is, or the reason is in REASONS. No mutant may be accepted for
another file, or end in another error than a TrustError. Exit status: 1 for a finding; what was found lies in build/fuzz/findings.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / place) for place in ("plugins/module_utils", "tests/unit/trust", "tests/fuzz")]

import mutations  # noqa: E402
from trust_bench import DATA  # noqa: E402

from _rocket.errors import TrustError  # noqa: E402
from _rocket.trust.key_file import TrustedKey  # noqa: E402
from _rocket.trust.openpgp import armor, packets  # noqa: E402
from _rocket.trust.openpgp.certificate import read_certificate  # noqa: E402
from _rocket.trust.openpgp.signature import ISSUER, read_detached, read_signature  # noqa: E402
from _rocket.trust.verify import Verifier  # noqa: E402

NAME = "example.com/app"
PROGRAMS = ("gpgv", "sqv")
AGAINST = ("BADSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG")
FINDINGS = TOP / "build" / "fuzz" / "findings"


class OneKey:
    """A keyring of one certificate."""

    def __init__(self, certificate):
        self.certificate = certificate

    def split(self, name):
        return [TrustedKey(self.certificate.fingerprint, name, "local", "", certificate=self.certificate)], []

    def list(self):
        return []


def judged(mutant, fd):
    """Return the certificate where our own reader accepts a mutant for the file; None where it refuses."""
    try:
        certificate = read_certificate(mutant.key, "key")
        Verifier(OneKey(certificate), time.time).verify(fd, mutant.signature, NAME)
    except TrustError as error:
        text = str(error)
        if not (text.isprintable() and text.isascii() and error.hint):
            raise AssertionError(f"an error that cannot be shown: {text!r}") from error
        return None
    return certificate


class Programs:
    """gpgv and sqv with the raw bytes: what they make of them themselves is to be seen."""

    def __init__(self, directory):
        self.directory = directory
        self.found = [program for program in PROGRAMS if shutil.which(program)]
        self.file = f"{directory}/file"
        Path(self.file).write_bytes(DATA)

    def refusals(self, mutant, fingerprint):
        """Return (program, its words) of each that does not accept."""
        found = []
        for program in self.found:
            accepted, words = getattr(self, program)(mutant, fingerprint)
            if not accepted:
                found.append((program, words))
        return found

    def _run(self, program, words, key, signature):
        Path(f"{self.directory}/key").write_bytes(key)
        Path(f"{self.directory}/signature").write_bytes(signature)
        argv = [program, *words, "--keyring", f"{self.directory}/key", f"{self.directory}/signature", self.file]
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": self.directory, "GNUPGHOME": self.directory}
        done = subprocess.run(argv, capture_output=True, env=environment, timeout=30, check=False)
        return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")

    def gpgv(self, mutant, fingerprint):
        """By status lines, without armor."""
        key, signature = mutations.binary(mutant.key, armor.PUBLIC_KEY), mutations.binary(mutant.signature, armor.SIGNATURE)
        _status, output, errors = self._run("gpgv", ["--status-fd", "1"], key, signature)
        lines = [line.split()[1:] for line in output.splitlines() if line.startswith("[GNUPG:] ")]
        words = [line[0] for line in lines if line]
        valid = [line for line in lines if line[:1] == ["VALIDSIG"] and line[-1].lower() == fingerprint]
        return bool(valid) and "GOODSIG" in words and not set(words) & set(AGAINST), output + errors

    def sqv(self, mutant, fingerprint):
        """By exit status and output, with the armor."""
        status, output, errors = self._run("sqv", [], mutant.key, mutant.signature)
        return status == 0 and fingerprint in output.lower().split(), output + errors


# What we read of a signature of a file, of a key and of a subkey.
USED = {0x00: (2, 3, ISSUER, 33), 0x18: (2, 3, 9, ISSUER, 27, 32, 33)}
OF_KEY = (2, 3, 9, ISSUER, 27, 33)
AGES = 1 << 32


def _in_file(mutant):
    return read_detached(mutant.signature, "signature")


def _in_key(certificate):
    found = packets.read_packets(certificate.packets, "x", "x", 1000)
    return [read_signature(packet.body, "x", "x") for packet in found if packet.tag == packets.SIGNATURE]


def _unnamed(mutant, _certificate, _words):
    return not all(one.values(ISSUER, hashed=False) for one in _in_file(mutant))


def _idle(mutant, certificate, _words):
    every = [(one, item) for one in (*_in_file(mutant), *_in_key(certificate)) for item in one.subpackets]
    return any(item.number not in USED.get(one.kind, OF_KEY) for one, item in every)


def _namesake(mutant, certificate, _words):
    keys = [certificate.fingerprint, *(part.key.fingerprint for part in certificate.subkeys)]
    named = [one.issuer for one in _in_file(mutant)]
    return any(issuer not in keys and issuer[-16:] in [key[-16:] for key in keys] for issuer in named if len(issuer) == 40)


def _far_end(mutant, certificate, _words):
    ends = [one.expires for one in _in_file(mutant)] + [certificate.expires, *(part.expires for part in certificate.subkeys)]
    return max(ends) >= AGES


def _certified_later(mutant, certificate, _words):
    made = min(one.created for one in _in_file(mutant))
    return any(one.created > made for one in _in_key(certificate))


def _several_ends(_mutant, certificate, words):
    said = {one.seconds(9) for one in _in_key(certificate) if one.kind in (0x13, 0x1F)}
    return len(said) > 1 and ("KEYEXPIRED" in words or "Expired on" in words)


def _gives_up(mutant, certificate, words):
    return "Fatal error" in words and _idle(mutant, certificate, words)


def _other_hash(mutant, _certificate, _words):
    found = _in_file(mutant)
    return len(found) > 1 and any(one.weak for one in found)


def _space_in_front(mutant, _certificate, _words):
    return not mutant.signature.startswith(b"-----")


def _subkeys_first(_mutant, certificate, _words):
    tags = [packet.tag for packet in packets.read_packets(certificate.packets, "x", "x", 1000)]
    return packets.PUBLIC_SUBKEY in tags[: max((at for at, tag in enumerate(tags) if tag == packets.USER_ID), default=0)]


def _unbound(_mutant, certificate, _words):
    return any(not part.bound_at for part in certificate.subkeys)


# What a program does not accept and our reader does, and why: (program, the reason, whether it applies).
REASONS = [
    ("gpgv", "the signature names its maker by the fingerprint alone, or not at all: gpgv 2.2 goes by the key ID", _unnamed),
    ("sqv", "the signature does not name its maker", _unnamed),
    ("sqv", "a statement that is not critical and counts for nothing has a content that sqv does not take", _idle),
    ("gpgv", "something ends after the year 2106: gpgv 2.2 counts seconds in 32 bits", _far_end),
    ("sqv", "the key was certified later: sqv asks what it said when the signature was made, we ask what it says now", _certified_later),
    ("gpgv", "two self-signatures give the key two ends: we go by the newest, gpgv by the one of the first user ID", _several_ends),
    ("gpgv", "another signature is by a key of another fingerprint with the same key ID, a stranger's to us", _namesake),
    ("sqv", "two self-signatures give the key two ends: we go by the newest, sqv by that of the user ID", _several_ends),
    ("gpgv", "a statement that counts for nothing has a content at which gpgv gives up", _gives_up),
    ("gpgv", "another signature has a hash that gpgv does not know, and so it looks at none", _other_hash),
    ("sqv", "another signature has a hash that sqv does not know, and so it looks at none", _other_hash),
    ("sqv", "there is white space in front of the armor", _space_in_front),
    ("gpgv", "a subkey stands in front of a user ID", _subkeys_first),
    ("gpgv", "a subkey is there that nobody bound, which does not count for us", _unbound),
]
STORED = "the key file is written in another form than ours; the copy that we store is taken"


def reason_for(program, mutant, certificate, words):
    """Return why a refusal of `program` is no finding; empty where it is one."""
    return next((text for name, text, fits in REASONS if name == program and fits(mutant, certificate, words)), "")


def run(count, seed):
    """Judge `count` mutants; return how many of each kind were accepted, the reasons met, and the findings."""
    made = mutations.Maker(random.Random(seed))
    tally, reasons, findings = collections.Counter(), collections.Counter(), []
    with tempfile.TemporaryDirectory(prefix="mutants") as directory, tempfile.TemporaryFile() as other:
        programs = Programs(directory)
        other.write(DATA + b"x")
        other.flush()
        with open(programs.file, "rb") as file:
            for _each in range(count):
                mutant = made.mutant()
                tally[mutant.kind, "made"] += 1
                try:
                    certificate = judged(mutant, file.fileno())
                    wrong = judged(mutant, other.fileno()) is not None
                except Exception as error:  # noqa: BLE001 - any other error than ours is what is looked for
                    findings.append((mutant, f"{type(error).__name__}: {error}"))
                    continue
                if wrong:
                    findings.append((mutant, "accepted for another file"))
                if certificate is None:
                    continue
                tally[mutant.kind, "accepted"] += 1
                for program, words in programs.refusals(mutant, certificate.fingerprint):
                    stored = mutant._replace(key=certificate.canonical())
                    reason = reason_for(program, mutant, certificate, words)
                    reason = reason or (STORED if getattr(programs, program)(stored, certificate.fingerprint)[0] else "")
                    reasons[program, reason] += bool(reason)
                    if not reason:
                        findings.append((mutant, f"{program} does not accept it: {words}"))
    return tally, +reasons, findings, programs.found


def main(arguments):
    """Run what the command line says; return the exit status."""
    parser = argparse.ArgumentParser(description="Damaged signatures and keys, ours beside gpgv and sqv.")
    parser.add_argument("--count", type=int, default=100_000, help="how many mutants (default 100000)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="the beginning of chance (default the time)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    options = parser.parse_args(arguments)
    share = -(-options.count // options.jobs)
    tally, reasons, findings = collections.Counter(), collections.Counter(), []
    with ProcessPoolExecutor(options.jobs) as pool:
        for part in pool.map(run, [share] * options.jobs, [options.seed * 100 + number for number in range(options.jobs)]):
            tally.update(part[0])
            reasons.update(part[1])
            findings += part[2]
            programs = part[3]
    print(f"seed {options.seed}, beside {' and '.join(programs) or 'no other program'}")
    for kind in sorted({kind for kind, _what in tally}):
        print(f"{kind:26}{tally[kind, 'made']:>8} made {tally[kind, 'accepted']:>8} accepted")
    for (program, reason), times in sorted(reasons.items()):
        print(f"{program} refused {times}: {reason}")
    FINDINGS.mkdir(parents=True, exist_ok=True)
    for number, (mutant, what) in enumerate(findings[:50]):
        place = FINDINGS / f"mutant-{options.seed}-{number}"
        place.with_suffix(".key").write_bytes(mutant.key)
        place.with_suffix(".sig").write_bytes(mutant.signature)
        print(f"FOUND {mutant.kind}, {place}.*: {what}")
    print(f"{len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
