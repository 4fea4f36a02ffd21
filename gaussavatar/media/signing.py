"""Signed content credentials (C2PA) in videos and pictures, with the user's own certificate; the extra ``provenance``.

A manifest says that the file was made by a machine, by which program, whose face it shows and on what consent, and the
signature covers the file's content: who changes it later breaks the signature. Specification: c2pa.org.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaussavatar import __version__
from gaussavatar.errors import UserError
from gaussavatar.packages import missing_package
from gaussavatar.storage import atomic_path

SIGNABLE = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".avi": "video/avi",
    ".png": "image/png",
    ".gif": "image/gif",
}
"""Endings of files that have a place for a manifest, and their media types."""

ALL_MADE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
PARTLY_MADE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""IPTC's words for what a model drew, and for that over something filmed."""

CONSENT = "org.gaussavatar.consent"
"""The assertion with subject and consent."""

_MOST = 1 << 20


@dataclass(frozen=True)
class Credentials:
    """Whose signature it is: files in PEM."""

    certificate: Path
    """The signer's certificate, followed by those that it rests on."""
    key: Path
    """Its private key, without a password."""


class ContentSigner:
    """Signs files; made by :func:`open_signer`."""

    def __init__(self, algorithm: str, certificate: bytes, key: bytes) -> None:
        self._algorithm, self._certificate, self._key = algorithm, certificate, key

    def sign(self, path: Path, title: str, made: str, about: Mapping[str, Any]) -> None:
        """Put a signed manifest into a file, atomically.

        Args:
            path: with one of the endings of :data:`SIGNABLE`.
            title: of the file.
            made: :data:`ALL_MADE` or :data:`PARTLY_MADE`.
            about: what the assertion :data:`CONSENT` says.

        Raises:
            UserError: the certificate is not one for this, or the file cannot be written.
        """
        kind = SIGNABLE[path.suffix.lower()]
        with atomic_path(path) as temporary, path.open("rb") as source, temporary.open("w+b") as target:
            self._signed(kind, source, target, manifest(title, kind, made, about))

    def check(self) -> None:
        """Sign a picture of one pixel in memory, so that what is wrong is said before any work.

        Raises:
            UserError: the certificate is not one for this.
        """
        from PIL import Image

        picture = io.BytesIO()
        Image.new("RGB", (1, 1)).save(picture, "PNG")
        picture.seek(0)
        self._signed("image/png", picture, io.BytesIO(), manifest("a check", "image/png", ALL_MADE, {}))

    def _signed(self, kind: str, source: Any, target: Any, said: Mapping[str, Any]) -> None:
        from c2pa import Builder, C2paError, C2paSignerInfo, Signer

        try:
            info = C2paSignerInfo(self._algorithm, self._certificate, self._key, None)
            with Signer.from_info(info) as signer, Builder.from_json(json.dumps(said)) as builder:
                builder.sign(signer, kind, source, target)
        except C2paError as error:
            raise UserError(
                "a certificate that C2PA takes: still valid, for digital signatures, not the root itself",
                " ".join(str(error).split()) or type(error).__name__,
                "ask who issued it for one; docs/provenance.md says what it needs",
            ) from error


def open_signer(credentials: Credentials, path: Path | None = None) -> ContentSigner:
    """Read certificate and key and see that they sign.

    Args:
        credentials: whose.
        path: what shall be signed, where that is known: of a kind that has a place for a manifest.

    Raises:
        UserError: a file is missing or is not what it should be, they do not belong together, the extra is missing.
    """
    if path is not None and path.suffix.lower() not in SIGNABLE:
        raise UserError(f"a file that can be signed: {', '.join(SIGNABLE)}", path.name, "name one, or do not sign it")
    certificate, key = _read(credentials.certificate, "a certificate"), _read(credentials.key, "a private key")
    try:
        algorithm = _algorithm(credentials, certificate, key)
        signer = ContentSigner(algorithm, certificate, key)
        signer.check()
    except ModuleNotFoundError as error:
        raise (missing_package(error) or error) from error
    return signer


def manifest(title: str, kind: str, made: str, about: Mapping[str, Any]) -> dict[str, Any]:
    """What is signed, besides the file's content."""
    created = {"action": "c2pa.created", "digitalSourceType": made, "softwareAgent": {"name": "gaussavatar"}}
    assertions = [{"label": "c2pa.actions.v2", "data": {"actions": [created]}}]
    if about:
        assertions.append({"label": CONSENT, "data": dict(about)})
    return {
        "claim_generator_info": [{"name": "gaussavatar", "version": __version__}],
        "title": title,
        "format": kind,
        "assertions": assertions,
    }


def _read(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST)
    except OSError as error:
        raise UserError(f"{what} at {path}", error.strerror or "no file", "give a PEM file") from error
    if b"-----BEGIN " not in data:
        raise UserError(f"{what} in PEM at {path}", "something else", "give the file that begins with -----BEGIN")
    return data


def _algorithm(credentials: Credentials, certificate: bytes, key: bytes) -> str:
    """The signature's algorithm in C2PA's words, by the kind of the key; checks that both belong together."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        leaf = x509.load_pem_x509_certificates(certificate)[0]
    except ValueError as error:
        do = "give the certificate, followed by those that it rests on"
        raise UserError(f"a certificate in PEM at {credentials.certificate}", str(error), do) from error
    try:
        private = load_pem_private_key(key, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        do = "write it without one: openssl pkey -in KEY -out PLAIN.pem"
        raise UserError(f"a private key without a password at {credentials.key}", str(error), do) from error
    if private.public_key() != leaf.public_key():
        came = f"a key at {credentials.key} of another one"
        raise UserError(f"the key of the certificate {credentials.certificate}", came, "give its own")
    if isinstance(private, ec.EllipticCurvePrivateKey):
        curves = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
        if private.curve.name in curves:
            return curves[private.curve.name]
    if isinstance(private, rsa.RSAPrivateKey):
        return "ps256"
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return "ed25519"
    wanted = "a key of P-256, P-384 or P-521, RSA or Ed25519"
    raise UserError(f"{wanted} at {credentials.key}", type(private).__name__, "ask who issued the certificate for one")
