# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""``rocket image sign``: the signature of an image, by a key of GnuPG."""

from __future__ import annotations

import os

from ...errors import NotFound, RocketError, UsageError
from .. import options, output, packages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...host.sign import Beside
    from ...image.check import Inspection
    from ..context import Context

COMMAND = options.Command(
    name="image sign",
    usage="[--key=FINGERPRINT] [--gpg-homedir=DIRECTORY] [--add | --overwrite] FILE.aci",
    summary=(
        "Sign an image file with a key of GnuPG, as FILE.aci.asc. Only what is an image is signed, and the signature appears when it has "
        "been verified by the rules that images are fetched by. The passphrase is asked for by GnuPG; its agent and its cards keep the key."
    ),
    options=(
        options.Option("--key", "the key to sign with, by its full fingerprint (default: the only one)", "FINGERPRINT"),
        options.Option("--gpg-homedir", "directory of the keys (default: GnuPG's own)", "DIRECTORY"),
        options.Option("--add", "let signatures by other keys stay, and put this one behind them"),
        options.Option("--overwrite", "replace signatures by other keys, or of another file"),
        options.Option("--quiet", "say nothing but the file of the signature and errors"),
    ),
    arguments=(1, 1),
    examples=(
        ("rocket image sign web.aci", "with the only key that there is; shows web.aci.asc"),
        ("rocket image sign --add --key=FINGERPRINT web.aci", "by the new key too, while hosts still trust the old one"),
        ("gpg --armor --export >release.asc", "the public key, for: rocket trust --prefix=example.com/shop release.asc"),
    ),
)


def execute(context: Context, parsed: options.Parsed) -> int:
    """Carry out ``rocket image sign``; raises RocketError, and then no signature has appeared."""
    packages.reach()
    import time

    from ...host.gnupg import GnuPG, terminal
    from ...host.sign import find_signer, sign_image, signature_path
    from ...image.build import check_file_name, shown

    values, path = parsed.values, parsed.arguments[0]
    note = (lambda text: None) if values.flag("--quiet") else output.note
    check_file_name(path)
    add, overwrite = values.flag("--add"), values.flag("--overwrite")
    if add and overwrite:
        raise UsageError("cannot be used with --overwrite", where="--add", hint="what is replaced does not stay")
    signer = find_signer(GnuPG(values.text("--gpg-homedir"), terminal()), values.text("--key"), time.time)

    def tell(found: Inspection, beside: Beside) -> None:
        note(f"image {shown(found.manifest)}, {found.image_id}")
        for maker in beside.makers:
            note(f"beside {maker}")
        note(f"key {signer.key}")

    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        raise NotFound(f"cannot be opened ({error.strerror})", where=path, hint="name an image file") from error
    try:
        if not sign_image(fd, path, signer, overwrite, tell, add):
            note("is signed by this key already; nothing to do")
    except RocketError as error:
        error.where = error.where or path
        raise
    finally:
        os.close(fd)
    output.write(f"{signature_path(path)}\n")
    return 0
