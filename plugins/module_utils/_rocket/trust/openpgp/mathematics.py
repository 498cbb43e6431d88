# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Does this digest carry a signature by this key? The mathematics, by the package ``cryptography``.

Not handled here: whether the key, the algorithm or the time is acceptable (key.py, certificate.py, verify.py).
"""

from __future__ import annotations

from ...errors import MissingPackage, TrustError
from .key import COORDINATE, ECDSA, ED25519, EDDSA, P256, P384, P521, RSA, SHORTEST, PublicKey
from .signature import HASHES, Signature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _prehashed(signature: Signature) -> Any:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import utils

    algorithms: dict[str, Any] = {"sha256": hashes.SHA256, "sha384": hashes.SHA384, "sha512": hashes.SHA512}
    return utils.Prehashed(algorithms[HASHES[signature.hash_algorithm]]())


def _check_rsa(key: PublicKey, signature: Signature, digest: bytes) -> None:
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    modulus, exponent = key.parameters
    (value,) = signature.numbers
    if value >= int(modulus):
        raise ValueError("the signature is larger than the modulus")
    loaded = rsa.RSAPublicNumbers(int(exponent), int(modulus)).public_key()
    # OpenPGP drops leading zeros; PKCS 1 wants the octets of the modulus.
    octets = value.to_bytes((int(modulus).bit_length() + 7) // 8, "big")
    loaded.verify(octets, digest, padding.PKCS1v15(), _prehashed(signature))


def _check_ecdsa(key: PublicKey, signature: Signature, digest: bytes) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec, utils

    curves: dict[str, Any] = {P256: ec.SECP256R1, P384: ec.SECP384R1, P521: ec.SECP521R1}
    loaded = ec.EllipticCurvePublicKey.from_encoded_point(curves[key.label](), _point(key))
    encoded = utils.encode_dss_signature(signature.numbers[0], signature.numbers[1])
    loaded.verify(encoded, digest, ec.ECDSA(_prehashed(signature)))


def _check_ed25519(key: PublicKey, signature: Signature, digest: bytes) -> None:
    from cryptography.hazmat.primitives.asymmetric import ed25519

    size = COORDINATE[ED25519]
    if max(signature.numbers).bit_length() > 8 * size:
        raise ValueError("a part of the signature is too long")
    loaded = ed25519.Ed25519PublicKey.from_public_bytes(_point(key))
    loaded.verify(b"".join(number.to_bytes(size, "big") for number in signature.numbers), digest)


def _point(key: PublicKey) -> bytes:
    if not isinstance(key.parameters, bytes):
        raise ValueError("the key has no point")
    return key.parameters


_CHECKS = {RSA[0]: _check_rsa, RSA[1]: _check_rsa, ECDSA: _check_ecdsa, EDDSA: _check_ed25519}


def too_short(key: PublicKey, signature: Signature) -> bool:
    """Tell whether the hash of the signature is shorter than what the curve of the key is used with."""
    return not signature.weak and int(HASHES[signature.hash_algorithm][3:]) < SHORTEST.get(key.label, 0)


def refuse_short(key: PublicKey, signature: Signature, where: str) -> None:
    """Name the reason where a signature inside a certificate has too short a hash; raises TrustError ``algorithm-refused``."""
    if too_short(key, signature):
        raise TrustError(
            f"key {key.fingerprint} is certified with {signature.hash_name}, too weak for {key.label}",
            where=where,
            code="algorithm-refused",
            hint="its owner certifies it again (`gpg --cert-digest-algo SHA512 --quick-set-expire FINGERPRINT 2y`)",
            fingerprint=key.fingerprint,
        )


def fits(key: PublicKey, signature: Signature, digest: bytes) -> bool:
    """Tell whether `signature` by `key` is over `digest`.

    Raises:
        MissingPackage: ``cryptography`` is not installed.
        TrustError: ``algorithm-refused``: the host's cryptographic policy does not offer the algorithm.
    """
    try:
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    except ImportError as error:
        raise MissingPackage("cryptography", "checking signatures") from error
    same = signature.algorithm == key.algorithm or (signature.algorithm in RSA and key.algorithm in RSA)
    if key.refusal or signature.weak or too_short(key, signature) or not same or digest[:2] != signature.left:
        return False
    try:
        _CHECKS[key.algorithm](key, signature, digest)
    except (InvalidSignature, ValueError):
        return False
    except UnsupportedAlgorithm as error:
        raise TrustError(
            f"this host's cryptography does not offer {key.label} with {signature.hash_name}",
            where=key.fingerprint,
            code="algorithm-refused",
            hint="check the host's crypto policy, or sign with another kind of key",
        ) from error
    return True
