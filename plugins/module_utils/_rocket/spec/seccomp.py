# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Sets of system calls (os/linux/seccomp-remove-set, os/linux/seccomp-retain-set): names, wildcards, and the error that blocked
calls give.

A name that no architecture knows is refused: in a set of what is to be blocked it would block nothing.

Not handled here: filters, and what the wildcards stand for.
"""

from __future__ import annotations

from ..errors import SpecError
from ..record import Record
from .identifier import nearest
from .isolator_values import set_of_names
from .reading import Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# Names of Linux, which include those of POSIX.1-2001 and C99. Not from the module errno: that has the names of the machine
# that runs, and a manifest is also checked where no app will ever run.
_ERRNO_NAMES = (
    "E2BIG EACCES EADDRINUSE EADDRNOTAVAIL EADV EAFNOSUPPORT EAGAIN EALREADY EBADE EBADF EBADFD EBADMSG EBADR EBADRQC EBADSLT "
    "EBFONT EBUSY ECANCELED ECHILD ECHRNG ECOMM ECONNABORTED ECONNREFUSED ECONNRESET EDEADLK EDEADLOCK EDESTADDRREQ EDOM "
    "EDOTDOT EDQUOT EEXIST EFAULT EFBIG EHOSTDOWN EHOSTUNREACH EHWPOISON EIDRM EILSEQ EINPROGRESS EINTR EINVAL EIO EISCONN "
    "EISDIR EISNAM EKEYEXPIRED EKEYREJECTED EKEYREVOKED EL2HLT EL2NSYNC EL3HLT EL3RST ELIBACC ELIBBAD ELIBEXEC ELIBMAX ELIBSCN "
    "ELNRNG ELOOP EMEDIUMTYPE EMFILE EMLINK EMSGSIZE EMULTIHOP ENAMETOOLONG ENAVAIL ENETDOWN ENETRESET ENETUNREACH ENFILE ENOANO "
    "ENOBUFS ENOCSI ENODATA ENODEV ENOENT ENOEXEC ENOKEY ENOLCK ENOLINK ENOMEDIUM ENOMEM ENOMSG ENONET ENOPKG ENOPROTOOPT ENOSPC "
    "ENOSR ENOSTR ENOSYS ENOTBLK ENOTCONN ENOTDIR ENOTEMPTY ENOTNAM ENOTRECOVERABLE ENOTSOCK ENOTSUP ENOTTY ENOTUNIQ ENXIO "
    "EOPNOTSUPP EOVERFLOW EOWNERDEAD EPERM EPFNOSUPPORT EPIPE EPROTO EPROTONOSUPPORT EPROTOTYPE ERANGE EREMCHG EREMOTE EREMOTEIO "
    "ERESTART ERFKILL EROFS ESHUTDOWN ESOCKTNOSUPPORT ESPIPE ESRCH ESRMNT ESTALE ESTRPIPE ETIME ETIMEDOUT ETOOMANYREFS ETXTBSY "
    "EUCLEAN EUNATCH EUSERS EWOULDBLOCK EXDEV EXFULL"
)
ERRNO_NAMES = frozenset(_ERRNO_NAMES.split())


EMPTY, ALL = "@appc.io/empty", "@appc.io/all"
# Those of rkt, which its images use beside the specification's two.
_WILDCARDS = (
    *("@rkt/default-blacklist", "@rkt/default-whitelist", "@docker/default-blacklist", "@docker/default-whitelist"),
    *("@systemd/clock", "@systemd/default-whitelist", "@systemd/mount", "@systemd/network-io", "@systemd/obsolete"),
    *("@systemd/privileged", "@systemd/process", "@systemd/raw-io"),
)


class SeccompSet(Record):
    """Names of system calls and wildcards ``@scope/name``, without repetitions; an empty `errno` means SIGSYS."""

    names: tuple[str, ...]
    errno: str = ""


def _unknown(node: Node, what: str, known: Iterable[str]) -> SpecError:
    near = nearest(node.text("I5"), sorted(known))
    return node.error(f"{what} was expected", "I5", f"did you mean {near}?" if near else "")


def _name(node: Node, own: str) -> str:
    from .syscalls import SYSCALLS

    name = node.text("I5", empty=False)
    if name.startswith("@"):
        if name != own and name not in _WILDCARDS:
            raise _unknown(node, f"a wildcard, {own} or one of rkt's,", (own, *_WILDCARDS))
    elif name not in SYSCALLS:
        raise _unknown(node, "the name of a system call of Linux, or a wildcard @scope/name,", SYSCALLS)
    return name


def _read(node: Node, own: str) -> SeccompSet:
    names = tuple(dict.fromkeys(_name(item, own) for item in set_of_names(node)))
    errno = node.optional("errno", "I5")
    text = "" if errno is None else errno.text("I5")
    if errno is not None and text and text not in ERRNO_NAMES:
        raise _unknown(errno, "the name of an error of Linux", ERRNO_NAMES)
    return SeccompSet(names, text)


def read_seccomp_remove_set(node: Node) -> SeccompSet:
    """Return the system calls to block; ``@appc.io/empty`` among them hides the rest."""
    return _read(node, EMPTY)


def read_seccomp_retain_set(node: Node) -> SeccompSet:
    """Return the system calls to allow; ``@appc.io/all`` among them hides the rest."""
    return _read(node, ALL)
