# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""What the operator lets servers and proxies know about this host: ``auth.d/*.json``, local over vendor's (V9).

rkt's files: ``rktKind`` is ``auth`` (``domains``, ``type``) or ``dockerAuth`` (``registries``); ``proxyAuth`` (``proxies``) is ours. A
credential is for exactly one host and port, by https, where a domain has a path only for what is below it; it is no Record, so
that no representation shows it. Not handled here: rkt's type ``aws``.
"""

from __future__ import annotations

from ..errors import FetchError, SpecError, printable
from ..record import Record
from ..store.operator_file import check_kind, listed, read
from .addresses import check_url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..spec.reading import Node

# The member that says for whom, and the port of those that name none; a proxy has none.
KINDS = {"auth": ("domains", 443), "dockerAuth": ("registries", 443), "proxyAuth": ("proxies", 0)}


class Place(Record):
    """Whom a credential is for.

    Attributes:
        host: in lower case, an IPv6 address without brackets.
        port: of the host.
        path: of the URLs that it is for, with all below it; empty for all.
    """

    host: str
    port: int
    path: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}{'' if self.port == 443 else f':{self.port}'}{self.path}"

    def covers(self, host: str, port: int, path: str) -> bool:
        """Return whether a URL is one of those; one whose path a server may read in two ways is below no path."""
        if (self.host, self.port) != (host.lower(), port):
            return False
        if not self.path:
            return True
        plain = not any(mark in path.lower() for mark in ("//", "/.", "%2e", "%2f", "%5c", "\\", ";"))
        return plain and (path == self.path or path.startswith(f"{self.path}/"))


class Credential:
    """A user with a password, or a token.

    Attributes:
        kind: ``auth``, ``dockerAuth`` or ``proxyAuth``.
        place: whom it is for.
        scheme: ``basic`` or ``oauth``.
        user: of a basic one.
        file: where it was read.
    """

    def __init__(self, kind: str, place: Place, user: str, secret: str, file: str) -> None:
        self.kind = kind
        self.place = place
        self.user = user
        self.scheme = "basic" if user else "oauth"
        self.file = file
        self._secret = secret

    def __repr__(self) -> str:
        return f"Credential({self.kind} {self.place} of {self.file})"

    @property
    def header(self) -> str:
        """The value of the header that carries it. For the wire alone."""
        if not self.user:
            return f"Bearer {self._secret}"
        from base64 import b64encode

        return "Basic " + b64encode(f"{self.user}:{self._secret}".encode()).decode("ascii")


class Credentials:
    """The credentials of a host; read when the first is asked for.

    Args:
        layers: directories of configuration, the vendor's first; a place in a later one hides the same in an earlier one.
    """

    def __init__(self, layers: tuple[str, ...]) -> None:
        self._layers = layers
        self._found: dict[tuple[str, Place], Credential] | None = None
        self._closed: list[str] = []

    def all(self) -> list[Credential]:
        """Return every credential, sorted by kind and place.

        Raises:
            HostError: a file is not the operator's alone.
            SpecError: a file is not what it should be, or two of one directory are for the same place.
        """
        found = self._load()
        return [found[key] for key in sorted(found, key=lambda key: (key[0], str(key[1])))]

    def find(self, kind: str, host: str, port: int, path: str = "") -> Credential | None:
        """Return the credential for a URL's host, port and path: of several the one with the longest path.

        Raises:
            HostError, SpecError: as `all`.
        """
        fitting = [one for (of, place), one in self._load().items() if of == kind and place.covers(host, port, path)]
        return max(fitting, key=lambda one: len(one.place.path), default=None)

    def for_url(self, url: str) -> Credential | None:
        """Return the credential for a URL that is asked for; none for one that is not https.

        Raises:
            HostError, SpecError: as `all`.
        """
        from urllib.parse import urlsplit

        scheme, host, port = check_url(url, ("https", "http"))
        return self.find("auth", host, port, urlsplit(url).path) if scheme == "https" else None

    def advice_for(self, url: str) -> str:
        """Return what to do when the server of a URL wants credentials, or others."""
        scheme, host, port = check_url(url, ("https", "http"))
        if scheme != "https":
            return "credentials are sent by https alone"
        credential = self.for_url(url)
        return self.advice("auth", host, port) if credential is None else f"it does not take those of {credential.file}"

    def advice(self, kind: str, host: str, port: int) -> str:
        """Return which file is needed for a host, or which one was not taken."""
        credential = self.find(kind, host, port)
        if credential is not None:
            return f"it does not take those of {credential.file}"
        if self._closed:
            return f"{', '.join(self._closed)} cannot be read by this user"
        if not self._layers:
            return "it wants credentials"
        place = f"{printable(host)}:{port}" if kind == "proxyAuth" else str(Place(printable(host), port))
        return f"write credentials for {place} to {self._layers[-1]}/auth.d/{printable(host)}.json, of kind {kind} and mode 0600"

    def _load(self) -> dict[tuple[str, Place], Credential]:
        if self._found is None:
            found: dict[tuple[str, Place], Credential] = {}
            for layer in self._layers:
                found.update(self._layer(f"{layer}/auth.d"))
            self._found = found
        return self._found

    def _layer(self, directory: str) -> dict[tuple[str, Place], Credential]:
        from functools import partial

        found: dict[tuple[str, Place], Credential] = {}
        try:
            paths = listed(directory)
        except PermissionError:
            self._closed.append(directory)
            paths = []
        for path in paths:
            try:
                ones = read(path, partial(_credentials, path), secret=True)
            except FileNotFoundError:
                continue
            except PermissionError:
                self._closed.append(path)
                continue
            for one in ones:
                other = found.setdefault((one.kind, one.place), one)
                if other is not one:
                    raise SpecError(f"{one.place} has credentials in {other.file} too", path=path, hint="keep one of them")
        return found


def _credentials(path: str, node: Node) -> list[Credential]:
    kind = check_kind(node, tuple(KINDS))
    member, port = KINDS[kind]
    places = [read_place(item, port) for item in node.required(member).items()]
    if not places:
        raise SpecError("names nobody", path=member)
    scheme = "basic" if kind == "dockerAuth" else node.required("type").text()
    given = node.required("credentials")
    if scheme == "basic":
        user, secret = _text(given.required("user")), _text(given.required("password"))
        if not user or ":" in user:
            raise SpecError("a user name without a colon was expected", path="credentials.user")
    elif scheme == "oauth":
        user, secret = "", _token(given.required("token"))
    else:
        raise SpecError("basic or oauth was expected", path="type", hint="rkt's type aws is not there" if scheme == "aws" else "")
    given.refuse_unknown()
    node.refuse_unknown()
    return [Credential(kind, place, user, secret, path) for place in places]


def _text(node: Node) -> str:
    value = node.text()
    if not all(character.isprintable() for character in value):
        raise SpecError("a text without control characters was expected", path=node.path)
    return value


def _token(node: Node) -> str:
    value = node.text(empty=False)
    if not all("!" <= character <= "~" for character in value):
        raise SpecError("a token in ASCII and without spaces was expected", path=node.path)
    return value


def read_place(node: Node, port: int) -> Place:
    """Return the place in ``host``, ``host:port`` or, with a port by default, ``host/path``.

    Raises:
        SpecError: anything else.
    """
    text = node.text()
    head, slash, path = text.partition("/")
    path = f"/{path}".rstrip("/") if slash else ""
    try:
        _scheme, host, number = check_url(f"https://{head}/", ("https",))
    except FetchError as error:
        raise SpecError(f"no host: {error.what}", path=node.path) from None
    if head.startswith("[") != (":" in host) or not (":" in host or _is_name(host)):
        raise SpecError("a host name or address was expected, and none with a star", path=node.path)
    given = head.rpartition("]")[2].rpartition(":")[2].isdigit() and ":" in head.rpartition("]")[2]
    if not port and (not given or path):
        raise SpecError("HOST:PORT was expected", path=node.path)
    if not all("!" <= character <= "~" for character in path) or any(mark in path for mark in ("//", "/.", "%", "?", "#", "\\", ";")):
        raise SpecError("a path in plain characters was expected", path=node.path)
    return Place(host, number if given else port, path)


def _is_name(host: str) -> bool:
    return all(label and label.replace("-", "a").replace("_", "a").isalnum() and label.isascii() for label in host.split("."))
