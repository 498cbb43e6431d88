# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Sign an image file (A7, A8): the host's GnuPG signs, our own reader verifies, and only then the signature appears.

What is no image is not signed. The file is opened once: what was inspected is what is signed and verified.
"""

from __future__ import annotations

import os

from ..errors import Ambiguous, ArchiveError, NotFound, StoreError, TrustError, UsageError
from ..image.check import inspect
from ..image.compress import Output
from ..record import Record
from ..store.files import read_limited
from ..trust.keyring import check_fingerprint
from ..trust.openpgp.armor import SIGNATURE, dearmor, enarmor
from ..trust.openpgp.signature import LIMIT, read_detached
from ..trust.own_key import OwnKey

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..image.check import Inspection
    from .gnupg import GnuPG


# One such signature by a key that a host trusts makes it refuse the image, whoever else signed.
_SPOILS = ("signature-bad", "key-revoked", "signature-future")


class Signer:
    """A key of the host's GnuPG that may sign images.

    Args:
        gnupg: where its secret part is.
        key: the key.
        clock: returns seconds since the epoch.
        part: the subkey that has to make the signature; empty for the one that gpg takes.
    """

    def __init__(self, gnupg: GnuPG, key: OwnKey, clock: Callable[[], float], part: str = "") -> None:
        self._gnupg = gnupg
        self._part = part
        self.key = key
        self.clock = clock

    def sign(self, fd: int) -> bytes:
        """Return an armored detached signature of the file behind `fd`; raises HostError where gpg does not sign."""
        os.lseek(fd, 0, os.SEEK_SET)
        return self._gnupg.sign(f"{self._part}!" if self._part else self.key.fingerprint, fd)

    def public_key(self, fingerprint: str) -> bytes:
        """Return the public key of somebody else, by the fingerprint of any part of it; raises NotFound where GnuPG has none."""
        if not fingerprint:
            raise NotFound("the signature names nobody")
        return self._gnupg.export(fingerprint)


def find_signer(gnupg: GnuPG, fingerprint: str, clock: Callable[[], float]) -> Signer:
    """Return the key to sign with.

    Args:
        gnupg: where the keys are.
        fingerprint: of a primary key or subkey, in full; empty for the only key that can sign.
        clock: returns seconds since the epoch.

    Raises:
        UsageError: the fingerprint is not complete.
        NotFound: no such key, or none that can sign.
        Ambiguous: several keys can sign; names them.
        TrustError: nobody would accept a signature by this key; says why.
        HostError: there is no gpg, or it fails.
        MissingPackage: ``cryptography`` is not installed.
    """
    wanted = check_fingerprint(fingerprint) if fingerprint else ""
    found = [key for key in gnupg.secret_keys(wanted) if wanted or key.usable]
    if not found:
        what = f"there is no secret key {wanted}" if wanted else "there is no secret key that can sign"
        raise NotFound(what, where=gnupg.home, hint="`gpg --list-secret-keys` shows them; another directory is --gpg-homedir")
    if len(found) > 1:
        named = ", ".join(f"{key.fingerprint} {key.identity}" for key in found)
        raise Ambiguous(f"several keys can sign: {named}", where=gnupg.home, hint="say which: --key=FINGERPRINT")
    part = wanted if wanted in found[0].subkeys else ""
    key = OwnKey(gnupg.export(found[0].fingerprint), clock)
    key.check_usable(part)
    return Signer(gnupg, key, clock, part)


def signature_path(image: str) -> str:
    """Return where the signature of an image file lies (A8)."""
    return f"{image}.asc"


def existing_signature(fd: int, image: str, name: str, key: OwnKey) -> str | None:
    """Say what is wrong with the signature that lies beside an image.

    Args:
        fd: the image file.
        image: its path.
        name: of the image, for messages.
        key: by whom it has to be.

    Returns:
        None where there is none; empty for a good one; else why it is none.
    """
    path = signature_path(image)
    if not os.path.lexists(path):
        return None
    try:
        key.check_signature(fd, read_limited(path, LIMIT), name)
    except (TrustError, StoreError) as error:
        return error.what
    except OSError as error:
        return error.strerror or str(error)
    return ""


class Beside(Record):
    """The signatures by others that stay in a file.

    Attributes:
        packets: they, without armor.
        makers: who made each, and whether that was checked; for people.
    """

    packets: bytes = b""
    makers: tuple[str, ...] = ()


def _beside(fd: int, path: str, name: str, signer: Signer) -> Beside:
    """Return the signatures that are there already, each checked where GnuPG has the key of its maker.

    Raises:
        UsageError: they are of another file, or of a key that makes every host refuse the image.
        TrustError: the file holds no signatures.
    """
    content = read_limited(path, LIMIT)
    makers = []
    for signature in read_detached(content, path):
        try:
            key = OwnKey(signer.public_key(signature.issuer), signer.clock)
            key.check_signature(fd, content, name)
            makers.append(str(key))
        except NotFound:
            makers.append(f"{signature.issuer or 'a key that it does not name'}, not checked: GnuPG has no such key")
        except TrustError as error:
            if error.code in _SPOILS:
                hint = "replace it by your own with --overwrite"
                raise UsageError(f"a signature that is there spoils the image: {error.what}", where=path, hint=hint) from error
            makers.append(f"{signature.issuer}, which does not count: {error.what}")
    return Beside(dearmor(content, SIGNATURE, "signature-malformed", path), tuple(makers))


def _others(path: str, key: OwnKey) -> bool:
    """Tell whether a file of signatures has one by another key."""
    return not all(key.made(signature) for signature in read_detached(read_limited(path, LIMIT), path))


def sign_image(
    fd: int,
    image: str,
    signer: Signer,
    overwrite: bool,
    tell: Callable[[Inspection, Beside], None] | None = None,
    add: bool = False,
) -> bool:
    """Put the signature of an image beside it and return whether that changed anything.

    Args:
        fd: the image file.
        image: its path.
        signer: who signs.
        overwrite: whether another signature may be replaced.
        tell: is told what will be signed, beside whom, before a person is asked for a passphrase.
        add: whether other signatures that are there stay, and this one comes behind them.

    Raises:
        ArchiveError, SpecError: it is no image, or changes meanwhile.
        UsageError: another signature is there, or appears meanwhile.
        HostError: gpg does not sign.
        TrustError: what gpg wrote is no good signature of this file by this key.
    """
    before = _facts(fd)
    found = inspect(fd)
    name, path = found.manifest.name, signature_path(image)
    problem = existing_signature(fd, image, name, signer.key)
    beside = _beside(fd, path, name, signer) if add and problem else Beside()
    if tell is not None:
        tell(found, beside)
    if problem == "" and not (overwrite and _others(path, signer.key)):
        return False
    if problem and not (overwrite or add):
        raise UsageError(
            f"there is another signature, and it is none by {signer.key.fingerprint}: {problem}",
            where=path,
            hint="look who made it; then --overwrite replaces it, and --add lets it stay beside yours",
        )
    before = _facts(fd)
    signature = signer.sign(fd)
    signer.key.check_signature(fd, signature, name)
    if beside.packets:
        signature = enarmor(beside.packets + dearmor(signature, SIGNATURE, "signature-malformed", path), SIGNATURE)
        signer.key.check_signature(fd, signature, name)
    if _facts(fd) != before:
        raise ArchiveError("the file changed while it was signed", where=image, hint="sign a file that nobody writes to")
    with Output(path, "none", overwrite or bool(beside.packets)) as out:
        out.write(signature)
        out.publish()
    return True


def _facts(fd: int) -> tuple[int, ...]:
    found = os.fstat(fd)
    return (found.st_size, found.st_mtime_ns, found.st_ctime_ns)
