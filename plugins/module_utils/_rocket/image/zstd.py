# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""zstd (RFC 8878), an extension of the formats of an image (A5), by the host's own libzstd (docs/adr/0004-zstd.md).

One path for all Pythons. Frames of earlier formats, which a libzstd may still read, are refused by their first bytes.
"""

from __future__ import annotations

import ctypes

from ..errors import HostError
from .stream import CHUNK, over_limit

FRAME = b"\x28\xb5\x2f\xfd"
SKIPPABLE = tuple(bytes((0x50 + number, 0x2A, 0x4D, 0x18)) for number in range(16))

# Numbers of zstd.h and zstd_errors.h that are the same in every release since 1.4.0.
_LEVEL, _CHECKSUM = 100, 201
_WINDOW_LOG_MAX = 100
_WINDOW_LOGS = (10, 30)
_CONTINUE, _END = 0, 2
_WINDOW_TOO_LARGE, _NO_MEMORY = 16, 64
_OLDEST = 10400


class Damage(Exception):
    """Data that is no zstd, or no longer."""


class _Buffer(ctypes.Structure):
    """ZSTD_inBuffer and ZSTD_outBuffer, which differ in const alone."""

    _fields_ = (("start", ctypes.c_void_p), ("size", ctypes.c_size_t), ("at", ctypes.c_size_t))


def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libzstd.so.1")
    except OSError as error:
        raise HostError("this host has no libzstd, which images in zstd need", hint="install libzstd1 (Red Hat: libzstd)") from error
    library.ZSTD_versionNumber.restype = ctypes.c_uint
    if library.ZSTD_versionNumber() < _OLDEST:
        raise HostError("the libzstd of this host is older than 1.4.0", hint="update libzstd1 (Red Hat: libzstd)")
    library.ZSTD_getErrorName.restype = ctypes.c_char_p
    for name in ("ZSTD_createDCtx", "ZSTD_createCCtx"):
        getattr(library, name).restype = ctypes.c_void_p
    for name in ("ZSTD_decompressStream", "ZSTD_compressStream2", "ZSTD_DCtx_setParameter", "ZSTD_CCtx_setParameter"):
        getattr(library, name).restype = ctypes.c_size_t
    return library


def available() -> bool:
    """Return whether this host has a libzstd that can be used."""
    try:
        _library()
    except HostError:
        return False
    return True


def _window(start: bytes) -> int:
    """Return the window that the frame header `start` asks for; -1 where more of it is needed (RFC 8878, 3.1.1.1)."""
    if len(start) <= len(FRAME):
        return -1
    descriptor = start[4]
    if not descriptor & 0x20:
        if len(start) < 6:
            return -1
        least = 1 << (10 + (start[5] >> 3))
        return least + (least >> 3) * (start[5] & 7)
    # A single segment: all of the content at once, whose size stands behind the number of a dictionary.
    at, size = 5 + (0, 1, 2, 4)[descriptor & 3], (1, 2, 4, 8)[descriptor >> 6]
    if len(start) < at + size:
        return -1
    return int.from_bytes(start[at : at + size], "little") + (256 if size == 2 else 0)


class _Context:
    """A context of the library, freed with this object, and the buffer that it writes to."""

    def __init__(self, kind: str) -> None:
        self._library = _library()
        self._kind = kind
        self._pointer = ctypes.c_void_p(getattr(self._library, f"ZSTD_create{kind}")())
        if not self._pointer:
            raise MemoryError
        self._space = ctypes.create_string_buffer(CHUNK)
        self._input = _Buffer(None, 0, 0)
        self._held = b""

    def __del__(self) -> None:
        # A library that was not found leaves nothing to free.
        if getattr(self, "_pointer", None):
            getattr(self._library, f"ZSTD_free{self._kind}")(self._pointer)

    def set(self, parameter: int, value: int) -> None:
        """Set a parameter of the context."""
        self._check(getattr(self._library, f"ZSTD_{self._kind}_setParameter")(self._pointer, ctypes.c_int(parameter), ctypes.c_int(value)))

    def _take(self, data: bytes) -> None:
        """Make `data` the input, and keep it while the library may read it."""
        self._held = data
        self._input = _Buffer(ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p), len(data), 0)

    def _check(self, result: int) -> int:
        if not self._library.ZSTD_isError(ctypes.c_size_t(result)):
            return result
        if self._library.ZSTD_getErrorCode(ctypes.c_size_t(result)) in (_WINDOW_TOO_LARGE, _NO_MEMORY):
            raise over_limit("the zstd data asks for too much memory")
        raise Damage(self._library.ZSTD_getErrorName(ctypes.c_size_t(result)).decode("ascii", "replace"))


class Decompressor(_Context):
    """Reads one frame after the other, with the interface that ``bz2`` and ``lzma`` share.

    Args:
        memory: bytes of the largest window that a frame may ask for.
    """

    def __init__(self, memory: int) -> None:
        super().__init__("DCtx")
        self._memory = memory
        # The library counts in powers of two, and does not look at a frame that comes in one piece.
        self.set(_WINDOW_LOG_MAX, min(max(memory.bit_length(), _WINDOW_LOGS[0]), _WINDOW_LOGS[1]))
        self.begin()

    def begin(self) -> Decompressor:
        """Expect a new frame; the one before has ended, and the library is ready for another."""
        self._start: bytes | None = b""
        self.needs_input = True
        self.eof = False
        self.unused_data = b""
        return self

    def decompress(self, data: bytes, limit: int) -> bytes:
        """Return the next bytes of the frame, at most `limit`.

        Raises:
            Damage: the data is damaged, needs a dictionary, or begins no frame.
            ArchiveError: the frame asks for a larger window (code ``archive-limit``).
        """
        if self._start is not None:
            data = self._start + data
            if not self._begun(data):
                self._start = data
                return b""
            self._start = None
        if data:
            self._take(data)
        output = _Buffer(ctypes.cast(self._space, ctypes.c_void_p), min(limit, CHUNK), 0)
        left = self._check(self._library.ZSTD_decompressStream(self._pointer, ctypes.byref(output), ctypes.byref(self._input)))
        if left == 0:
            self.eof = True
            self.unused_data = self._held[self._input.at :]
        # A full output buffer may hide more of it, although all input is used.
        self.needs_input = not self.eof and self._input.at == self._input.size and output.at < output.size
        return ctypes.string_at(self._space, output.at)

    def _begun(self, start: bytes) -> bool:
        """Return whether `start` holds enough of a frame to hand it over: its kind, and what it asks for."""
        if len(start) < len(FRAME):
            return False
        if start.startswith(SKIPPABLE):
            return True
        if not start.startswith(FRAME):
            raise Damage("no frame begins here")
        window = _window(start)
        if window > self._memory:
            raise over_limit("the zstd data asks for too much memory")
        return window >= 0


class Compressor(_Context):
    """Writes one frame with a checksum; the same input gives the same bytes by the same release of the library.

    Args:
        level: 1 to 19.
    """

    def __init__(self, level: int) -> None:
        super().__init__("CCtx")
        self.set(_LEVEL, level)
        self.set(_CHECKSUM, 1)

    def compress(self, data: bytes) -> bytes:
        """Return what is ready when `data` was added."""
        self._take(data)
        return self._run(_CONTINUE)

    def flush(self) -> bytes:
        """Return the rest of the frame; nothing can be added after."""
        self._take(b"")
        return self._run(_END)

    def _run(self, directive: int) -> bytes:
        pieces = []
        while True:
            output = _Buffer(ctypes.cast(self._space, ctypes.c_void_p), CHUNK, 0)
            left = self._check(
                self._library.ZSTD_compressStream2(self._pointer, ctypes.byref(output), ctypes.byref(self._input), ctypes.c_int(directive))
            )
            pieces.append(ctypes.string_at(self._space, output.at))
            if self._input.at == self._input.size and (directive == _CONTINUE or left == 0):
                return b"".join(pieces)
