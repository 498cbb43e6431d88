# SPDX-FileCopyrightText: The appc.rocket contributors
# SPDX-License-Identifier: Apache-2.0
"""A real HTTPS server on loopback with an authority of its own, which misbehaves on demand; and images for it."""

from __future__ import annotations

import datetime
import hashlib
import io
import ipaddress
import json
import os
import socket
import ssl
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from _rocket.errors import TrustError
from _rocket.store.verdict import Rule, Signer, Verdict
from _rocket.trust.admission import admit, judge, refusal
from _rocket.trust.policy import BUILT_IN

NAMES = ("example.com", "cdn.example.net", "localhost")


def archive(name="example.com/app", files=None, labels=(("version", "1.0"),), compression="gz", **members) -> bytes:
    """Return an image archive."""
    named = [{"name": label, "value": value} for label, value in labels]
    manifest = json.dumps({"acKind": "ImageManifest", "acVersion": "0.8.11", "name": name, "labels": named, **members}).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{compression}", format=tarfile.PAX_FORMAT) as tar:
        for path, content in {"manifest": manifest, "rootfs": None, **(files or {"rootfs/hello": b"hello\n"})}.items():
            entry = tarfile.TarInfo(path)
            entry.type, entry.mode = (tarfile.DIRTYPE, 0o755) if content is None else (tarfile.REGTYPE, 0o644)
            entry.size = len(content or b"")
            tar.addfile(entry, io.BytesIO(content or b""))
    return buffer.getvalue()


def signed(data: bytes) -> bytes:
    """Return what the fake verifier takes for a good signature of `data`."""
    return b"signature " + hashlib.sha256(data).hexdigest().encode()


class FakeVerifier:
    """Trusts one prefix; a signature is the digest of the file. Writes down in which order it was asked. The rules are the policy's own."""

    def __init__(self, prefix="example.com", policy=BUILT_IN) -> None:
        self.prefix = prefix
        self.policy = policy
        self.calls: list[tuple[str, str]] = []
        self.signer = "a" * 40
        self.distrusted: set[str] = set()

    def rule(self, name: str) -> Rule:
        rule = self.policy.rule_for(name)
        if rule.require == "refuse":
            raise refusal(name, rule)
        return rule

    def admit(self, verdict: Verdict, name: str, insecure) -> Verdict:
        return admit(verdict, name, self.rule(name), insecure, self._why_not)

    def check(self, verdict: Verdict, name: str, insecure) -> None:
        judge(verdict, name, self.policy.rule_for(name), insecure, self._why_not)

    def require_key(self, name: str) -> None:
        self.calls.append(("require_key", name))
        if name.split("/")[0] != self.prefix:
            raise TrustError("no key is trusted for it", where=name, code="signer-unknown")

    def verify(self, fd: int, signature: bytes, name: str) -> Verdict:
        self.calls.append(("verify", name))
        self.require_key(name)
        with open(f"/proc/self/fd/{fd}", "rb") as file:
            if signature != signed(file.read()):
                raise TrustError("the signature does not fit the file", where=name, code="signature-bad")
        if self.signer in self.distrusted:
            raise TrustError(f"signed by {self.signer}, which is not trusted for it", where=name, code="signer-unknown")
        return Verdict("signed", (Signer(self.signer, self.prefix),), 1000)

    def _why_not(self, signer: Signer) -> str:
        return "is not trusted" if signer.fingerprint in self.distrusted else ""


class Authority:
    """A certificate authority, and certificates of it."""

    def __init__(self, directory) -> None:
        self._directory = directory
        directory.mkdir(exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self.file = str(directory / "ca.pem")
        certificate = self._build(self._name, self._key.public_key(), [], True, 1, -3)
        (directory / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _build(self, subject, public_key, names, authority, days, since):
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=since))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(authority, None), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False)
        )
        if authority:
            usage = dict.fromkeys(
                ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"), False
            )
            builder = builder.add_extension(x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, **usage), True)
        else:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), False).add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False
            )
        return builder.sign(self._key, hashes.SHA256())

    def certificate(self, names=NAMES, days=1, since=-3) -> str:
        """Return the path of a file with key and certificate for `names`, good from `since` until `days`, both counted from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives = [*(x509.DNSName(name) for name in names), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        if names != NAMES:
            alternatives.pop()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        certificate = self._build(subject, key.public_key(), alternatives, False, days, since)
        path = self._directory / f"{names[0]}{since}{days}.pem"
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
        return str(path)

    def self_signed(self) -> str:
        """Return the path of a file with a certificate for the usual names that nobody but itself vouches for."""
        alone = Authority(self._directory.parent / f"{self._directory.name}-alone")
        alone._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAMES[0])])
        alternatives = [x509.DNSName(name) for name in NAMES]
        certificate = alone._build(alone._name, alone._key.public_key(), alternatives, False, 1, -3)
        private = alone._key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        path = alone._directory / "alone.pem"
        path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
        return str(path)


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        site = self.server.site
        host = self.headers["Host"].partition(":")[0]
        with site.lock:
            site.requests.append((self.command, host, self.path, dict(self.headers)))
        answer = site.pages.get((host, self.path), site.pages.get(self.path))
        if answer is None:
            self.reply(b"not here", 404)
        elif callable(answer):
            self.close_connection = True
            answer(self)
        else:
            self.reply(answer)

    do_HEAD = do_GET

    def reply(self, content: bytes, status=200, **headers: str) -> None:
        """Answer as a proper server does, with an entity tag."""
        self.close_connection = False
        tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        same = status == 200 and self.headers.get("If-None-Match") == tag
        self.send_response(304 if same else status)
        self.send_header("ETag", tag)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if not same:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD" and not same:
            self.wfile.write(content)

    def raw(self, data: bytes) -> None:
        """Answer with exactly these bytes and an end of the connection."""
        self.wfile.write(data)
        self.wfile.flush()

    def log_message(self, *_values) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def get_request(self):
        found = super().get_request()
        with self.site.lock:
            self.site.connections += 1
        return found

    def handle_error(self, request, client_address) -> None:
        """Clients that hang up are part of the tests."""


class Site:
    """A running server.

    Args:
        certificate: a file with key and certificate; None for plain http.
        versions: the lowest and highest version of TLS.

    Attributes:
        pages: path, or (host, path), to content or to a function of the request.
        requests: (method, host, path, headers) of all requests so far.
        connections: how many were made so far; each is one handshake.
    """

    def __init__(self, certificate: str | None, versions: tuple | None = None) -> None:
        self.pages: dict = {}
        self.requests: list = []
        self.connections = 0
        self.lock = threading.Lock()
        self.server = _Server(("127.0.0.1", 0), _Answers)
        self.server.site = self
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            if versions:
                context.set_ciphers("ALL:@SECLEVEL=0")
                context.minimum_version, context.maximum_version = versions
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def connect_to(self, *names: str) -> tuple:
        """Return the option that leads these hosts here."""
        return tuple((name, "127.0.0.1", self.port) for name in names or NAMES[:2])

    def asked(self, method="GET") -> list[str]:
        """Return the paths asked for so far."""
        with self.lock:
            return [path for verb, _host, path, _headers in self.requests if verb == method]

    def publish(self, data: bytes, name="example.com/app", base="/images/app.aci", signature: bytes | None = None) -> None:
        """Serve an image with its signature and discovery page."""
        self.pages[f"/{name.partition('/')[2]}?ac-discovery=1"] = discovery_page(f"{name} https://example.com{base[:-4]}.{{ext}}")
        self.pages[base] = data
        self.pages[f"{base}.asc"] = signed(data) if signature is None else signature

    def close(self) -> None:
        """Stop the server."""
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


def discovery_page(*templates: str, keys: tuple[str, ...] = ()) -> bytes:
    """Return a page with these tags."""
    tags = [f'<meta name="ac-discovery" content="{template}">' for template in templates]
    tags += [f'<meta name="ac-discovery-pubkeys" content="{key}">' for key in keys]
    return ("<!DOCTYPE html><html><head>" + "\n".join(tags) + "</head><body></body></html>").encode()


def free_port() -> int:
    """Return a port of loopback on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def random_bytes(count: int) -> bytes:
    """Return bytes that do not compress."""
    return os.urandom(count)
