# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""An image file in the wanted state: built from its source, and signed where that is wanted. Observe, plan, apply.

What is compared is the image ID that the source makes now with that of the file; it is worked out without writing. A
published version, which others may have fetched, is replaced by another build of it only where that is allowed (T9a).
"""

from __future__ import annotations

import os

from ..errors import HostError, UsageError
from ..image.build import build, check_file_name, check_form, described, inspected, same_version, work_out
from ..image.compression import SNIFF, sniff
from ..plan import Plan, Step
from ..record import Record
from ..run.differences import differences, hidden, told
from .sign import Signer, existing_signature, sign_image, signature_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..image.build import Source
    from ..image.check import Inspection
    from ..spec.image_manifest import ImageManifest


class Wanted(Record):
    """What the file is to be.

    Attributes:
        path: of the file.
        manifest: of the image.
        compression: one of image.compression.FORMATS.
        mtime: as for image.build.build().
        owner: likewise.
        overwrite: whether another build of the same version, what is no image, and a signature by another key may go.
    """

    path: str
    manifest: ImageManifest
    compression: str = "gzip"
    mtime: int | None = None
    owner: tuple[int, int] | None = None
    overwrite: bool = False


class Outcome(Record):
    """What a plan is about.

    Attributes:
        plan: the steps.
        image_id: of the image that the source makes.
        warnings: what is probably not meant.
    """

    plan: Plan
    image_id: str
    warnings: tuple[str, ...]


def plan_file(source: Source, wanted: Wanted, signer: Signer | None) -> Outcome:
    """Return the steps to the wanted file; nothing is written.

    Args:
        source: what the image is made from.
        wanted: what it is to be.
        signer: whose signature is to lie beside it; None leaves it to others.

    Raises:
        SpecError, UsageError, ArchiveError: as image.build.build(); what is there stays unless overwriting is allowed.
    """
    _check_place(wanted.path)
    check_form(wanted.path, wanted.compression)
    if not os.path.isdir(os.path.dirname(wanted.path)):
        raise UsageError("its directory does not exist", where=wanted.path, hint="make it first")
    if source.contains(wanted.path):
        raise UsageError("the image lies in the tree that goes into it", where=wanted.path, hint="write it elsewhere")
    image_id, warnings = work_out(source, wanted.manifest, wanted.mtime, wanted.owner)
    found = inspected(wanted.path) if os.path.lexists(wanted.path) else None
    before = _before(wanted.path, found, signer)
    after = {"image_id": image_id, "manifest": wanted.manifest.to_json(), "compression": wanted.compression}
    if signer is not None:
        after["signed_by"] = signer.key.fingerprint
    reason = _reason(wanted, found, before, image_id)
    steps = [Step("build", wanted.path, reason)] if reason else []
    signature = signature_path(wanted.path)
    if signer is not None:
        steps += _sign(wanted, signature, bool(reason), before, signer)
    elif reason and before is not None and os.path.lexists(signature):
        steps.append(Step("remove", signature, "signature of the former file"))
    shown = hidden(after, before) if steps else hidden(before)
    return Outcome(Plan(wanted.path, tuple(steps), hidden(before), shown), image_id, warnings)


def apply(source: Source, wanted: Wanted, signer: Signer | None, outcome: Outcome) -> None:
    """Carry out a plan of plan_file() with the same arguments.

    Raises:
        ArchiveError: the source became another image since.
        UsageError: a file appeared since.
        HostError, TrustError: as sign_image(); the image is there then, without a signature.
    """
    actions = [step.action for step in outcome.plan.steps]
    if "build" in actions:
        there = outcome.plan.before is not None

        def unsign(_warnings: tuple[str, ...]) -> None:
            # Beside the new file, the signature of the former one would say that somebody tampered with it.
            if there:
                _unlink(signature_path(wanted.path))

        first = (source, wanted.manifest, wanted.path, wanted.compression, there, wanted.mtime, wanted.owner)
        build(*first, expected_id=outcome.image_id, review=unsign)
    if "sign" in actions and signer is not None:
        fd = os.open(wanted.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            sign_image(fd, wanted.path, signer, True)
        finally:
            os.close(fd)


def plan_absent(path: str) -> Plan:
    """Return the steps after which neither the image file nor its signature is there.

    Raises:
        SpecError, UsageError: the name of another kind of file, a directory.
    """
    _check_place(path)
    there = [name for name in (path, signature_path(path)) if os.path.lexists(name)]
    before = hidden(_before(path, inspected(path), None)) if path in there else {"signature": "without an image"}
    return Plan(path, tuple(Step("remove", name, "is there") for name in there), before if there else None)


def apply_absent(plan: Plan) -> None:
    """Carry out a plan of plan_absent(); raises HostError."""
    for step in plan.steps:
        _unlink(step.subject)


def check_absolute(path: str) -> None:
    """Refuse a relative path: what it means depends on where a module happens to run; raises UsageError."""
    if not os.path.isabs(path):
        raise UsageError("an absolute path is needed", where=path, hint="write it from / on")


def _check_place(path: str) -> None:
    """Refuse what writing or removing the file would refuse, so that check mode says it too."""
    check_absolute(path)
    check_file_name(path)
    for name in (path, signature_path(path)):
        if os.path.isdir(name) and not os.path.islink(name):
            raise UsageError("a directory is in the way", where=name, hint="name a file")


def _before(path: str, found: Inspection | None, signer: Signer | None) -> dict[str, Any] | None:
    """Return what the file is, None where there is none."""
    if found is None:
        return {"image_id": None} if os.path.lexists(path) else None
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        known: dict[str, Any] = {
            "image_id": found.image_id,
            "manifest": found.manifest.to_json(),
            "compression": sniff(os.pread(fd, SNIFF, 0)),
        }
        if signer is not None:
            problem = existing_signature(fd, path, found.manifest.name, signer.key)
            known["signed_by"] = signer.key.fingerprint if problem == "" else problem and f"(not by this key: {problem})"
    finally:
        os.close(fd)
    return known


def _reason(wanted: Wanted, found: Inspection | None, before: dict[str, Any] | None, image_id: str) -> str:
    """Return why the file has to be written; empty where it is as wanted."""
    if before is None:
        return "missing"
    published = found is None or (found.image_id != image_id and same_version(found.manifest, wanted.manifest))
    if published and not wanted.overwrite:
        raise UsageError(
            f"it holds {described(found)}, and what is built now is {image_id}",
            where=wanted.path,
            hint="a published version stays as it is (T9a): give the build another version, or allow overwriting",
        )
    if found is None:
        return "is no image"
    if found.image_id != image_id:
        changed = differences(before["manifest"], wanted.manifest.to_json())
        return f"manifest changed at {told(changed)}" if changed else "files changed"
    return "" if before["compression"] == wanted.compression else f"compressed as {before['compression']}"


def _sign(wanted: Wanted, signature: str, new: bool, before: dict[str, Any] | None, signer: Signer) -> list[Step]:
    """Return the step to the wanted signature, where one is needed."""
    if new:
        return [Step("sign", signature, "the image is new")]
    known = (before or {}).get("signed_by")
    if known == signer.key.fingerprint:
        return []
    if known is not None and not wanted.overwrite:
        raise UsageError(f"there is another signature {known}", where=signature, hint="look who made it, then allow overwriting")
    return [Step("sign", signature, "not signed" if known is None else "signed by another key")]


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise HostError(f"cannot be removed ({error.strerror})", where=path) from error
