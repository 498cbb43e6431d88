# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A second opinion on a signature that counted: of gpgv or sqv, where the policy asks for one; then both have to accept.

The program gets the one signature and the one certificate that counted, as packets in the one form that we write, and the very file that
was verified: each by a descriptor, so that nothing can be swapped between the two. Nothing reaches it that our own reader refused.

Not handled here: whether the key is trusted for the name, expired or revoked now (verify.py, which comes first and has to say yes too).
"""

from __future__ import annotations

import os

from .. import command
from ..errors import HostError, TrustError, UsageError, printable
from .openpgp import packets
from .openpgp.signature import ISSUER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NoReturn

    from .openpgp.certificate import Certificate
    from .openpgp.key import PublicKey
    from .openpgp.signature import Signature

CODE = "second-opinion"
# The programs that a word of the policy stands for, in the order in which they are looked for.
PROGRAMS = {"none": (), "gpgv": ("gpgv",), "sqv": ("sqv",), "any": ("sqv", "gpgv")}
# Less than any disk reads in a second; a program that takes longer hangs.
_SLOWEST = 8 << 20
_SECONDS = 60
_SIGNATURE, _KEYRING, _FILE = "/proc/self/fd/3", "/proc/self/fd/4", "/proc/self/fd/5"
_PACKAGES = {"gpgv": "gpgv (RPM: gnupg2)", "sqv": "sqv (RPM: sequoia-sqv)"}
# What gpgv says of a signature that it does not take, whatever else it says.
_AGAINST = ("BADSIG", "ERRSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG", "NODATA", "NO_PUBKEY", "UNEXPECTED")


def check_word(word: str) -> str:
    """Return one of the words of PROGRAMS; raises UsageError for any other."""
    if word not in PROGRAMS:
        raise UsageError(f"{printable(word)} is no second opinion", where="second_opinion", hint=f"one of {', '.join(PROGRAMS)}")
    return word


def find(word: str, name: str) -> str:
    """Return the path of the program that `word` asks for; empty for none.

    Args:
        word: one of PROGRAMS.
        name: of the image, for messages.

    Raises:
        TrustError: ``second-opinion``: it is not on this host, or others than root may change it.
    """
    wanted = PROGRAMS[word]
    for program in wanted:
        try:
            path = command.find_program(program)
        except HostError:
            continue  # the next one; that there is none is an error below
        try:
            command.check_program(path)
        except HostError as error:
            what = f"the second opinion of {program} is not asked for: {error.what}"
            raise TrustError(what, where=error.where, hint=error.hint or "look at it", code=CODE) from error
        return path
    if wanted:
        raise TrustError(
            f"a second opinion by {' or '.join(wanted)} is asked for, and it is not on this host",
            where=name,
            code=CODE,
            hint=f"install {' or '.join(_PACKAGES[program] for program in wanted)}, or ask for none in the policy",
        )
    return ""


def confirm(word: str, fd: int, counted: Iterable[tuple[Certificate, PublicKey, Signature]], name: str) -> None:
    """Have every signature that counted confirmed.

    Args:
        word: one of PROGRAMS.
        fd: the file; it is read from its beginning, and its position stays.
        counted: each certificate with the signature by which it counted, and the key of it that made this one.
        name: of the image, for messages.

    Raises:
        TrustError: ``second-opinion``: there is no such program, it does not come to an end, or it does not take one of them.
        OSError: the file cannot be read.
    """
    path = find(word, name)
    for certificate, key, signature in counted if path else ():
        said = _ask(path, fd, certificate, key, signature, name)
        if said:
            _refuse(path, certificate.fingerprint, said, name)


def _refuse(path: str, fingerprint: str, said: str, name: str) -> NoReturn:
    raise TrustError(
        f"the signature by {fingerprint} is good by our own reading, and {path} does not confirm it: {printable(said, 300)}",
        where=name,
        code=CODE,
        hint="do not use it, and report it: one of the two is wrong",
        fingerprint=fingerprint,
        program=path,
    )


def _ask(path: str, fd: int, certificate: Certificate, key: PublicKey, signature: Signature, name: str) -> str:
    """Return why the program does not take the signature; empty where it does."""
    program = os.path.basename(path)
    opened: list[int] = []
    try:
        opened.append(_in_memory(_packet(signature, key)))
        opened.append(_in_memory(certificate.packets))
        # Opened anew: the program's reading does not move our position, and it cannot write through what we can write through.
        opened.append(os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC))
        seconds = _SECONDS + os.fstat(fd).st_size // _SLOWEST
        environment = {**command.ENVIRONMENT, "HOME": "/nonexistent", "GNUPGHOME": "/nonexistent"}
        outcome = command.run([path, *_words(program)], seconds=seconds, environment=environment, passed=opened)
    except HostError as error:
        raise TrustError(
            f"the signature by {certificate.fingerprint} is good by our own reading, and the second opinion failed: {error.what}",
            where=name,
            code=CODE,
            hint=f"run {path} by hand",
            fingerprint=certificate.fingerprint,
            program=path,
        ) from error
    finally:
        for each in opened:
            os.close(each)
    if outcome.status >= 128:
        return outcome.reason()
    if program == "gpgv":
        return _against_gpgv(outcome, certificate.fingerprint, signature.created)
    return _against_sqv(outcome, certificate.fingerprint)


def _packet(signature: Signature, key: PublicKey) -> bytes:
    """Return the signature with nothing uncovered but its maker: gpgv knows a maker by the key ID alone, which need not be there."""
    maker = bytes((9, ISSUER)) + bytes.fromhex(key.key_id)
    body = signature.covered + len(maker).to_bytes(2, "big") + maker + signature.left + signature.material
    return packets.Packet(packets.SIGNATURE, body).to_bytes()


def _words(program: str) -> list[str]:
    if program == "gpgv":
        return ["--status-fd", "1", "--keyring", _KEYRING, _SIGNATURE, _FILE]
    return ["--keyring", _KEYRING, _SIGNATURE, _FILE]


def _in_memory(content: bytes) -> int:
    """Return a descriptor of a file that has no name anywhere."""
    fd = os.memfd_create("rocket", os.MFD_CLOEXEC)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
    except OSError:
        os.close(fd)
        raise
    return fd


def _against_gpgv(outcome: command.Outcome, fingerprint: str, created: int) -> str:
    """Judge by the status lines alone: the exit status says yes to expired and revoked keys."""
    lines = [line.split()[1:] for line in outcome.output.splitlines() if line.startswith("[GNUPG:] ")]
    words = [line[0] for line in lines if line]
    against = [" ".join(line) for line in lines if line and line[0] in _AGAINST]
    if against:
        return against[0]
    valid = [line for line in lines if line[:1] == ["VALIDSIG"]]
    if words.count("GOODSIG") != 1 or len(valid) != 1 or len(valid[0]) < 11:
        return f"no word of one good signature ({outcome.reason()})"
    # VALIDSIG: fingerprint, date, time, expiry, version, reserved, algorithm, hash, class, fingerprint of the primary key.
    _word, _part, _date, made, _ends, _version, _reserved, _algorithm, _hash, kind, primary = valid[0][:11]
    if (primary.lower(), made, kind) != (fingerprint, str(created), "00"):
        return f"another signature: {' '.join(valid[0])}"
    return ""


def _against_sqv(outcome: command.Outcome, fingerprint: str) -> str:
    """Judge by exit status and output: it writes the fingerprint of each certificate with a good signature."""
    if outcome.status:
        return outcome.reason()
    found = outcome.output.lower().split()
    return "" if found == [fingerprint] else f"good signatures by {', '.join(found) or 'nobody'}"
