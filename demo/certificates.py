# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""Make a certificate authority and a server certificate for example.com, valid for a day.

Usage: python certificates.py DIRECTORY; writes ca.pem, site.pem and site.key there.
"""

from __future__ import annotations

import datetime
import os
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def _usage(authority: bool) -> x509.KeyUsage:
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign")
    allowed = {"key_cert_sign"} if authority else {"digital_signature"}
    return x509.KeyUsage(**{name: name in allowed for name in names}, crl_sign=authority, encipher_only=False, decipher_only=False)


def certificate(subject: str, key, issuer: str, issuer_key, *, authority: bool) -> x509.Certificate:
    """Return a certificate for `subject`, signed by `issuer_key`; a server's carries the subject as its DNS name."""
    now = datetime.datetime.now(datetime.timezone.utc)
    name = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)]) for text in (subject, issuer)]
    builder = (
        x509.CertificateBuilder()
        .subject_name(name[0])
        .issuer_name(name[1])
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .add_extension(_usage(authority), critical=True)
    )
    if not authority:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def main(directory: str) -> None:
    """Write the three files; the key is readable for its owner only."""
    authority, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    key = server.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    files = {
        "ca.pem": certificate("The demo's authority", authority, "The demo's authority", authority, authority=True).public_bytes(pem),
        "site.pem": certificate("example.com", server, "The demo's authority", authority, authority=False).public_bytes(pem),
        "site.key": key,
    }
    for name, data in files.items():
        descriptor = os.open(os.path.join(directory, name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)


if __name__ == "__main__":
    main(sys.argv[1])
