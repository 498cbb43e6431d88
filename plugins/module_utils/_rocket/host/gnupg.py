# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The host's GnuPG as the place where secret keys are: its agent and its cards keep them, and no secret is read here.

``gpg`` gets an environment of its own: the home of its keys, a fixed PATH and, where a person can be asked for a
passphrase, the terminal.

Not handled here: whether a key or a signature is any good (trust/own_key.py); nothing that gpg says is believed.
"""

from __future__ import annotations

import os

from .. import command
from ..errors import HostError, NotFound, printable
from ..record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# Without a trust database, which is about other people's keys and would be written.
_OPTIONS = ("--trust-model", "always", "--no-auto-check-trustdb")
_SECONDS = 3600
# Numbers of libgpg-error, in the low 16 bits of what gpg reports.
_HINTS = {
    11: "try again with the right passphrase",
    17: "the secret part of the key is not here: insert the card, or name another key",
    85: "nobody can be asked for the passphrase: run it on a terminal, or have the agent know it beforehand",
    99: "nothing was signed; try again",
    32870: "nobody can be asked for the passphrase: run it on a terminal, or have the agent know it beforehand",
}


class SecretKey(Record):
    """A key that GnuPG has the secret part of, or says so.

    Attributes:
        fingerprint: of the primary key, 40 lower-case hex digits.
        subkeys: fingerprints of its subkeys.
        identity: its first user ID.
        usable: whether GnuPG would sign with it.
    """

    fingerprint: str
    subkeys: tuple[str, ...]
    identity: str
    usable: bool


class GnuPG:
    """The gpg of this host.

    Args:
        home: directory of its keys; empty for the caller's own, as GNUPGHOME or HOME say.
        terminal: device of the terminal on which a person can be asked; empty where there is none.
    """

    def __init__(self, home: str = "", terminal: str = "") -> None:
        home = home or os.environ.get("GNUPGHOME", "")
        self.home = os.path.abspath(home) if home else f"{os.path.expanduser('~')}/.gnupg"
        self._terminal = terminal

    def secret_keys(self, fingerprint: str = "") -> list[SecretKey]:
        """Return the keys whose secret part is here, or the one that `fingerprint`, of its primary key or a subkey, names.

        Raises:
            HostError: there is no gpg, or it fails.
        """
        # In a directory without keys gpg would make some files.
        if not os.path.isdir(self.home) or not os.listdir(self.home):
            return []
        words = ["--with-colons", "--list-secret-keys", *([f"0x{fingerprint}"] if fingerprint else [])]
        outcome = self._run(words)
        # It fails too where it does not know the key that it was asked for.
        if outcome.status and not (fingerprint and "No secret key" in outcome.errors):
            raise HostError(f"gpg cannot list its keys: {outcome.reason()}", where=self.home, hint="run `gpg --list-secret-keys`")
        return list(_keys(outcome.output))

    def export(self, fingerprint: str) -> bytes:
        """Return the public key, armored, without certifications by others.

        Raises:
            HostError: there is no gpg, or it fails.
            NotFound: it has no such key.
        """
        outcome = self._run(["--armor", "--export-options", "export-minimal", "--export", f"0x{fingerprint}"])
        if outcome.status or not outcome.output:
            raise NotFound(f"gpg exports no key {fingerprint}", where=self.home, hint=f"gpg --list-keys {fingerprint}")
        return outcome.output.encode("utf-8")

    def sign(self, fingerprint: str, fd: int) -> bytes:
        """Return an armored detached signature of the file behind `fd`, from its offset on, with SHA-512.

        Args:
            fingerprint: of a primary key, whose best signing part gpg takes; or of a subkey with ``!`` behind it.
            fd: what is signed.

        Raises:
            HostError: there is no gpg; it does not sign, with its own reason.
        """
        words = ["--status-fd", "2", "--local-user", f"0x{fingerprint}", "--digest-algo", "SHA512", "--armor", "--detach-sign"]
        outcome = self._run(words, fd)
        if outcome.status:
            raise _refusal(outcome, fingerprint)
        return outcome.output.encode("utf-8")

    def _run(self, words: list[str], stdin: int | None = None) -> command.Outcome:
        environment = {
            "PATH": command.ENVIRONMENT["PATH"],
            # Messages in English, and user IDs as they are in what asks for the passphrase.
            "LC_ALL": "C.UTF-8",
            "HOME": os.path.expanduser("~"),
            "GNUPGHOME": self.home,
        }
        if self._terminal:
            environment.update(GPG_TTY=self._terminal, TERM=os.environ.get("TERM", "dumb"))
        manner = [] if self._terminal else ["--batch", "--no-tty"]
        return command.run(
            ["gpg", *manner, *_OPTIONS, *words],
            seconds=None if self._terminal else _SECONDS,
            environment=environment,
            stdin=stdin,
            terminal=bool(self._terminal),
        )


def terminal() -> str:
    """Return the device of the terminal that the caller sits at; empty where there is none."""
    for fd in (0, 2, 1):
        if os.isatty(fd):
            return os.ttyname(fd)
    return ""


def _keys(listing: str) -> Iterator[SecretKey]:
    """Yield the keys of a listing with colons."""
    fingerprints: list[str] = []
    identity, usable = "", False
    for line in [*listing.splitlines(), "sec:"]:
        fields = line.split(":")
        if fields[0] == "sec":
            if fingerprints:
                yield SecretKey(fingerprints[0], tuple(fingerprints[1:]), identity, usable)
            fingerprints, identity = [], ""
            # A capital S: some part of the key signs, and is neither expired nor revoked.
            usable = len(fields) > 11 and "S" in fields[11]
        elif fields[0] == "fpr" and len(fields) > 9:
            fingerprints.append(fields[9].lower())
        elif fields[0] == "uid" and len(fields) > 9:
            identity = identity or printable(fields[9])


def _refusal(outcome: command.Outcome, fingerprint: str) -> HostError:
    said = [line for line in outcome.errors.splitlines() if not line.startswith("[GNUPG:]")]
    codes = [line.split()[-1] for line in outcome.errors.splitlines() if line.startswith("[GNUPG:] FAILURE sign ")]
    number = int(codes[-1]) & 0xFFFF if codes and codes[-1].isdigit() else 0
    reason = printable(said[-1].removeprefix("gpg: ") if said else f"exit status {outcome.status}", 200)
    return HostError(f"gpg did not sign: {reason}", where=f"key {fingerprint}", hint=_HINTS.get(number, "run `gpg --detach-sign` by hand"))
