# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The one tree of errors: each says what went wrong, where, and what to do next, in one line.

``code`` is the stable word for machines (JSON results, audit log); the text is for people. The shells (the command and
the Ansible modules) turn a RocketError into an exit status or a failed task; nothing else catches the whole tree.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def printable(value: object, limit: int = 120) -> str:
    """Return `value` for a message: control and non-ASCII characters escaped, at most `limit` characters."""
    text = value if isinstance(value, str) else repr(value)
    text = "".join(c if " " <= c <= "~" else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in text)
    return text if len(text) <= limit else text[: limit - 3] + "..."


class RocketError(Exception):
    """Something that the operator has to know.

    Args:
        what: what went wrong, a clause without a full stop.
        where: the path, URL, JSON path or object concerned.
        hint: what to do next.
        code: the stable word of this kind of failure, when the class has several.
        facts: further members for machines.
    """

    code = "error"

    def __init__(self, what: str, *, where: str = "", hint: str = "", code: str = "", **facts: Any) -> None:
        self.what = what
        self.where = where
        self.hint = hint
        self.code = code or type(self).code
        self.facts = facts
        super().__init__(what)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}; {self.hint}" if self.hint else text

    def to_json(self) -> dict[str, Any]:
        """Return the error for machines: code, what, where, hint and the facts."""
        return {"code": self.code, "what": self.what, "where": self.where, "hint": self.hint, **self.facts}


class UsageError(RocketError):
    """A command line or module argument that cannot be understood."""

    code = "usage"


class SpecError(RocketError):
    """A manifest, name or value that breaks a rule of the App Container specification.

    Args:
        what: what the rule asks for.
        path: JSON path of the offending value (``apps[1].app.ports[0].port``), or what was being read.
        value: the offending value.
        rule: number of the rule in docs/spec-conformance.md.
    """

    code = "spec"

    def __init__(self, what: str, *, path: str = "", value: object = None, rule: str = "", hint: str = "") -> None:
        self.path = path
        self.value = value
        self.rule = rule
        shown = "" if value is None else f", not {printable(value)!s}" if isinstance(value, str) else f", not {printable(value)}"
        text = f"{what}{shown}" + (f" ({rule})" if rule else "")
        super().__init__(text, where=path, hint=hint, rule=rule)


class ArchiveError(RocketError):
    """An image archive that is damaged, hostile or not an App Container Image."""

    code = "archive"


class StoreError(RocketError):
    """The store cannot do what was asked, or holds something damaged."""

    code = "store"


class NotFound(RocketError):
    """A named image, pod, app or key does not exist."""

    code = "not-found"


class Ambiguous(RocketError):
    """A name or prefix fits several things."""

    code = "ambiguous"


class Busy(RocketError):
    """Another process holds what is needed."""

    code = "busy"


class TrustError(RocketError):
    """An image or key is not trusted; `code` is a class of docs/security-model.md, such as ``signature-bad``."""

    code = "untrusted"


class FetchError(RocketError):
    """An image could not be had; `code` is a class of docs/security-model.md, such as ``http-status``."""

    code = "fetch"


class PodError(RocketError):
    """A pod cannot be brought into the wanted state, or its state forbids the operation."""

    code = "pod"


class LaunchError(PodError):
    """The kernel or the host refused a step of starting an app."""

    code = "launch"


class IsolatorError(PodError):
    """An isolator that has to be enforced cannot be."""

    code = "isolator"


class HostError(RocketError):
    """The host lacks something, or refused a change."""

    code = "host"


class MissingPackage(HostError):
    """A Python package that this part needs is not installed.

    Args:
        package: the name to install, as the distribution or index knows it.
        purpose: what needs it.
    """

    code = "missing-package"

    def __init__(self, package: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the Python package {package}, which is not installed",
            hint=f"install {package} (Debian: python3-{package.lower()}) for the interpreter that runs rocket",
            package=package,
        )
