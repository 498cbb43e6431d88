# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""The runtime on a host: this package, byte-compiled, in a directory named by its content.

``<root>/<digest>/`` holds the package, a launcher ``rocket`` and ``__main__.py`` (for ``python3 -IS <root>/<digest>``); ``<root>/current``
points at one of them. A directory is staged beside its place, synced and renamed: a digest is complete or absent. A running
launcher holds a lock in its directory (entry.py), so that the kernel knows which old ones are in use (collect.py).

Not handled here: the interpreter itself, other Python packages.
"""

from __future__ import annotations

import os
import sys

from ..command import run
from ..errors import HostError, SpecError
from ..plan import Plan, Step
from ..record import Record
from ..spec import canonical
from . import contents, entry

ROOT = "/usr/local/libexec/rocket"
LINK = "/usr/local/bin/rocket"
ROOT_READ_ONLY_USR = "/opt/rocket"
LINK_READ_ONLY_USR = "/opt/bin/rocket"

_COMPILE = """
import compileall, py_compile, sys
if sys.version_info < (3, 9):
    raise SystemExit("is Python " + sys.version.split()[0] + "; rocket needs 3.9 or newer")
mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
if not compileall.compile_dir(sys.argv[1], quiet=1, stripdir=sys.argv[1], prependdir=sys.argv[2], invalidation_mode=mode):
    raise SystemExit("cannot compile the package")
"""


class Runtime(Record):
    """What is to be installed.

    Attributes:
        root: directory of all digests.
        digest: ``sha512-`` and 128 hex digits over interpreter, launcher and sources.
        interpreter: absolute path of the Python that will run it.
        files: names below the digest's directory and their bytes, without what is compiled on the host.
    """

    root: str
    digest: str
    interpreter: str
    files: tuple[tuple[str, bytes], ...]

    @property
    def directory(self) -> str:
        """Where this digest lies."""
        return f"{self.root}/{self.digest}"


def default_places() -> tuple[str, str]:
    """Return root and link of this host: below ``/usr/local``, or below ``/opt`` where ``/usr`` is read-only."""
    for directory in ("/usr/local", "/usr"):
        if os.path.isdir(directory):
            if os.statvfs(directory).f_flag & os.ST_RDONLY:
                return ROOT_READ_ONLY_USR, LINK_READ_ONLY_USR
            break
    return ROOT, LINK


def runtime(root: str, interpreter: str = "") -> Runtime:
    """Return what this package would be when installed below `root`.

    Args:
        root: absolute directory.
        interpreter: absolute path of a Python >= 3.9; the running one where empty. Links are followed.

    Raises:
        HostError: a source cannot be read; the interpreter is missing or may be replaced by someone else than root.
    """
    import hashlib

    real = os.path.realpath(interpreter or sys.executable or "/nonexistent/python3")
    _check_interpreter(real)
    if not os.path.isabs(root) or len(real) > 120 or any(c.isspace() for c in real):
        raise HostError("root and interpreter are absolute paths without spaces, at most 120 characters", where=f"{root}, {real}")
    files = {f"_rocket/{name}": data for name, data in contents.sources().items()}
    files["__main__.py"] = entry.TEXT.encode()
    files["rocket"] = b"#" + b"!" + real.encode() + b" -IS\n" + entry.TEXT.encode()
    state = hashlib.sha512(real.encode() + b"\0")
    for name in sorted(files):
        state.update(b"%s\0%d\0" % (name.encode(), len(files[name])))
        state.update(files[name])
    return Runtime(root=root, digest=f"sha512-{state.hexdigest()}", interpreter=real, files=tuple(sorted(files.items())))


def _check_interpreter(path: str) -> None:
    try:
        status = os.stat(path)
    except OSError as error:
        raise HostError(f"there is no such interpreter ({error.strerror})", where=path, hint="give the path of a Python >= 3.9") from error
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
        raise HostError(
            "others than its user may replace this interpreter", where=path, hint="use the distribution's Python, or chmod go-w"
        )
    if not os.access(path, os.X_OK):
        raise HostError("is not executable", where=path, hint="give the path of a Python >= 3.9")


def damage(wanted: Runtime) -> str:
    """Return how the installed digest differs from what it should be, in a few words; empty when it is intact.

    Compiled files are used without a look at their source, so they are compared with the digests written at install.
    """
    import hashlib

    from ..spec.reading import load

    if not os.path.isdir(wanted.directory):
        return "not installed"
    try:
        with open(f"{wanted.directory}/files.json", "rb") as source:
            listed = load(source.read(1 << 20), "files.json")
        digests = dict(listed["files"])
        digests.update({name: hashlib.sha512(data).hexdigest() for name, data in wanted.files})
        found = set(_walk(wanted.directory)) - {"files.json"}
    except (OSError, HostError, SpecError, KeyError, TypeError, ValueError) as error:
        return f"damaged: {error}"
    if found != set(digests):
        return f"damaged: {sorted(found ^ set(digests))[0]} is missing or does not belong there"
    for name in sorted(found):
        with open(f"{wanted.directory}/{name}", "rb") as source:
            if hashlib.sha512(source.read()).hexdigest() != digests[name]:
                return f"damaged: {name} was changed"
    return ""


def _walk(directory: str) -> list[str]:
    names = []
    for parent, directories, files in os.walk(directory, followlinks=False):
        for name in [*directories, *files]:
            status = os.lstat(f"{parent}/{name}")
            path = os.path.relpath(f"{parent}/{name}", directory)
            if status.st_uid != os.geteuid() or status.st_mode & 0o022 or status.st_mode >> 12 not in (0o4, 0o10):
                raise HostError("may be changed by others, or is no file", where=path)
        names += [os.path.relpath(f"{parent}/{name}", directory) for name in files]
    return names


def plan_install(root: str = "", *, interpreter: str = "", link: str = "") -> Plan:
    """Return the steps that put this package in place as the host's runtime; none when it is there and intact.

    Args:
        root: directory of the runtimes; the host's default where empty.
        interpreter: see runtime().
        link: where the command is linked; the host's default where empty.

    Raises:
        HostError: see runtime(); something that is not ours lies where the command belongs.
    """
    wanted = runtime(root or default_places()[0], interpreter)
    command = link or default_places()[1]
    steps = []
    reason = damage(wanted)
    facts = (("root", wanted.root), ("digest", wanted.digest), ("interpreter", wanted.interpreter))
    if reason:
        steps.append(Step(action="install", subject=wanted.directory, reason=reason, facts=facts))
    before = _link_target(f"{wanted.root}/current")
    if before != wanted.digest:
        steps.append(Step("link", f"{wanted.root}/current", f"points at {before or 'nothing'}", (("target", wanted.digest),)))
    target = f"{wanted.root}/current/rocket"
    if _link_target(command) != target:
        steps.append(Step("link", command, f"points at {_link_target(command) or 'nothing'}", (("target", target),)))
    drift = (f"runtime {reason}",) if reason.startswith("damaged") else ()
    old = {"digest": before} if before else None
    return Plan("runtime", tuple(steps), old, {"digest": wanted.digest}, drift)


def _link_target(path: str) -> str:
    if not os.path.lexists(path):
        return ""
    if not os.path.islink(path):
        raise HostError("is in the way: it is not a link", where=path, hint="remove it, or choose another place")
    return os.readlink(path)


def apply(plan: Plan) -> None:
    """Carry out the steps of plan_install; a step of another kind (collect.py) is left to its own part.

    Raises:
        HostError: the interpreter cannot compile the package, or the sources are not those of the plan.
        OSError: a directory cannot be written.
    """
    for step in plan.steps:
        facts = dict(step.facts)
        if step.action == "install":
            wanted = runtime(facts["root"], facts["interpreter"])
            if wanted.digest != facts["digest"]:
                raise HostError("the package changed since the plan was made", where=wanted.root, hint="plan again")
            _install(wanted)
        elif step.action == "link":
            _set_link(step.subject, facts["target"])


def _install(wanted: Runtime) -> None:
    from ..image.remove import remove_tree
    from ..store.files import exchange, fsync_directory, sync_file_system

    os.makedirs(wanted.root, mode=0o755, exist_ok=True)
    staged = f"{wanted.root}/.staged-{os.getpid()}"
    try:
        _stage(wanted, staged)
        sync_file_system(staged)
        if os.path.lexists(wanted.directory) and not exchange(staged, wanted.directory):
            remove_tree(wanted.directory)
        if not os.path.lexists(wanted.directory):
            os.rename(staged, wanted.directory)
        fsync_directory(wanted.root)
    finally:
        if os.path.lexists(staged):
            remove_tree(staged)


def _stage(wanted: Runtime, staged: str) -> None:
    import hashlib

    os.mkdir(staged, 0o755)
    os.chmod(staged, 0o755)
    for name, data in wanted.files:
        _write(f"{staged}/{name}", data, 0o755 if name == "rocket" else 0o644)
    outcome = run([wanted.interpreter, "-IS", "-c", _COMPILE, staged, wanted.directory], seconds=300)
    if outcome.status:
        raise HostError(f"cannot run rocket: {outcome.reason()}", where=wanted.interpreter, hint="give the path of a Python >= 3.9")
    _write(f"{staged}/{entry.LOCK}", b"", 0o600)
    digests = {}
    for parent, directories, _files in os.walk(staged):
        for name in directories:
            os.chmod(f"{parent}/{name}", 0o755)  # whatever the umask: other users may list pods
    for name in _walk(staged):
        with open(f"{staged}/{name}", "rb") as source:
            if name.endswith(".pyc"):
                os.fchmod(source.fileno(), 0o644)
            digests[name] = hashlib.sha512(source.read()).hexdigest()
    _write(f"{staged}/files.json", canonical.dumps({"interpreter": wanted.interpreter, "files": digests}), 0o644)


def _write(path: str, data: bytes, mode: int) -> None:
    directory = os.path.dirname(path)
    if not os.path.isdir(directory):
        os.makedirs(directory, mode=0o755)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as target:
        target.write(data)
        os.fchmod(target.fileno(), mode)


def _set_link(path: str, target: str) -> None:
    from ..store.files import fsync_directory

    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    staged = f"{path}.{os.getpid()}.new"
    os.symlink(target, staged)
    os.rename(staged, path)
    fsync_directory(os.path.dirname(path))
