# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Canonical JSON and its digest: one byte sequence for one value, on every host.

Form: members sorted by name (code points), no white space, ASCII with ``\\uXXXX`` escapes, integers only. It is valid
JSON, so that any reader takes it. Written here by hand because importing ``json`` costs half a launch.

Not handled here: floats (refused), reading (see reading.py).
"""

from __future__ import annotations

from ..errors import SpecError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _character(character: str) -> str:
    code = ord(character)
    if character in _ESCAPES:
        return _ESCAPES[character]
    if 0x20 <= code < 0x7F:
        return character
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 | code >> 10:04x}\\u{0xDC00 | code & 0x3FF:04x}"


def _string(text: str) -> str:
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(map(_character, text)) + '"'


def _encode(value: Any, path: str) -> str:
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, dict):
        for name in value:
            if not isinstance(name, str):
                raise SpecError("member names are strings", path=path, value=name)
        members = (f"{_string(name)}:{_encode(value[name], f'{path}.{name}')}" for name in sorted(value))
        return "{" + ",".join(members) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_encode(item, f"{path}[{index}]") for index, item in enumerate(value)) + "]"
    raise SpecError("only JSON values without fractions have a canonical form", path=path, value=value)


def dumps(value: Any) -> bytes:
    """Return the canonical JSON of `value` (dict, list, tuple, str, int, bool, None).

    Raises:
        SpecError: a float, another type, or a member name that is not a string; names the JSON path.
    """
    return _encode(value, "").encode("ascii")


def digest(value: Any) -> str:
    """Return ``sha512-`` and the 128 hex digits of the SHA-512 of the canonical JSON of `value`."""
    return f"sha512-{sha512()(dumps(value)).hexdigest()}"


def sha512() -> Any:
    """Return the constructor of SHA-512, without OpenSSL, which hashlib loads whole: 4 ms of a launch, for the same function."""
    try:
        from _sha512 import sha512  # type: ignore[import-not-found]  # Python 3.9 to 3.11
    except ImportError:
        try:
            from _sha2 import sha512  # type: ignore[import-not-found]  # since Python 3.12
        except ImportError:
            from hashlib import sha512
    return sha512
