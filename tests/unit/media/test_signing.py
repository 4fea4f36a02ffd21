"""Videos and pictures with signed content credentials, read back with the reader of the library that defines them."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gaussavatar.cli.main import run
from gaussavatar.errors import UserError
from gaussavatar.media.picture_series import write_gif, write_pngs
from gaussavatar.media.probe import probe
from gaussavatar.media.signing import ALL_MADE, CONSENT, PARTLY_MADE, SIGNABLE, Credentials, open_signer
from gaussavatar.media.writing import write_video

c2pa = pytest.importorskip("c2pa", reason="the extra provenance is not installed")
x509 = pytest.importorskip("cryptography.x509")

from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: E402
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID  # noqa: E402

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


def certificate(name: str, key, issuer_key, authority: bool, ends: datetime.datetime = NOW + 9 * DAY):
    """A certificate of ``key``, by the authority "An authority"."""
    names = [
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text), x509.NameAttribute(NameOID.ORGANIZATION_NAME, text)])
        for text in (name, "An authority")
    ]
    usage = x509.KeyUsage(not authority, False, False, False, False, authority, authority, False, False)
    builder = (
        x509.CertificateBuilder()
        .subject_name(names[0])
        .issuer_name(names[1])
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - 5 * DAY)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(authority, None), True)
        .add_extension(usage, True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False)
    )
    if not authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
    return builder.sign(issuer_key, hashes.SHA256())


def written(folder: Path, key, ends: datetime.datetime = NOW + 9 * DAY) -> Credentials:
    """Certificate and key of a signer, as files."""
    root = ec.generate_private_key(ec.SECP256R1())
    chain = [certificate("A signer", key, root, False, ends), certificate("An authority", root, root, True)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "chain.pem").write_bytes(b"".join(each.public_bytes(serialization.Encoding.PEM) for each in chain))
    private = serialization.PrivateFormat.PKCS8
    plain = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, private, plain))
    return Credentials(folder / "chain.pem", folder / "key.pem")


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> Credentials:
    return written(tmp_path_factory.mktemp("signer"), ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture(scope="module")
def hum(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a second of a voice's pitch."""
    path = tmp_path_factory.mktemp("sound") / "hum.wav"
    soundfile.write(path, 0.2 * np.sin(2 * np.pi * 140 * np.arange(8000) / 16_000), 16_000)
    return path


def read(path: Path) -> tuple[dict, set[str]]:
    """The active manifest of a file, and the codes of everything that is wrong with it but the unknown authority."""
    with path.open("rb") as file, c2pa.Reader(SIGNABLE[path.suffix], file) as reader:
        told = json.loads(reader.json())
    wrong = {each["code"] for each in told.get("validation_status", [])} - {"signingCredential.untrusted"}
    return told["manifests"][told["active_manifest"]], wrong


def assertion(manifest: dict, label: str) -> dict:
    (found,) = (each["data"] for each in manifest["assertions"] if each["label"] == label)
    return found


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_a_video_carries_who_made_it_of_whom_and_on_what_consent(
    suffix: str, credentials: Credentials, hum: Path, toy_avatar: Path, tmp_path: Path, capsys
) -> None:
    out = tmp_path / f"said{suffix}"
    words = ["speak", "--audio", hum, "--to", "0.4", "--avatar", toy_avatar, "--out", out]
    words += ["--sign-cert", credentials.certificate, "--sign-key", credentials.key]
    assert run([str(word) for word in words]) == 0, capsys.readouterr().err
    manifest, wrong = read(out)
    assert not wrong and manifest["signature_info"]["common_name"] == "A signer"
    assert manifest["claim_generator_info"][0]["name"] == "gaussavatar"
    (action,) = assertion(manifest, "c2pa.actions.v2")["actions"]
    assert (action["action"], action["digitalSourceType"]) == ("c2pa.created", PARTLY_MADE)
    said = json.loads((toy_avatar / "avatar.json").read_text())
    assert assertion(manifest, CONSENT) == {
        "synthetic": True, "subject": said["subject"], "consent": said["consent"],
    }  # fmt: skip
    assert abs(probe(out).seconds - 0.4) < 0.05, "it still plays"


def test_a_changed_byte_breaks_the_signature(credentials: Credentials, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_video(path, [np.full((32, 32, 3), 8 * i, np.uint8) for i in range(25)], 25.0, (32, 32), seconds=1.0)
    open_signer(credentials).sign(path, "a clip", ALL_MADE, {"consent": "self"})
    assert read(path)[1] == set()
    data = bytearray(path.read_bytes())
    data[data.index(b"mdat") + 100] ^= 1
    path.write_bytes(data)
    assert "assertion.bmffHash.mismatch" in read(path)[1]


def test_pictures_are_signed(credentials: Credentials, tmp_path: Path) -> None:
    signer, frames = open_signer(credentials), [np.full((8, 8, 3), 40 * i, np.uint8) for i in range(3)]
    write_pngs(tmp_path / "x.png", frames, "made")
    write_gif(tmp_path / "x.gif", frames, 25.0, "made")
    for path in (tmp_path / "x_000001.png", tmp_path / "x.gif"):
        signer.sign(path, "x", ALL_MADE, {"consent": "written"})
        manifest, wrong = read(path)
        assert not wrong and assertion(manifest, CONSENT) == {"consent": "written"}


@pytest.mark.parametrize("kind", ["P-384", "RSA", "Ed25519"])
def test_keys_of_other_kinds_sign(kind: str, tmp_path: Path) -> None:
    key = {
        "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "RSA": lambda: rsa.generate_private_key(65537, 2048),
        "Ed25519": ed25519.Ed25519PrivateKey.generate,
    }[kind]()
    open_signer(written(tmp_path, key)).check()


def test_what_does_not_sign_is_said_in_a_line(credentials: Credentials, tmp_path: Path) -> None:
    other = written(tmp_path / "other", ec.generate_private_key(ec.SECP256R1()))
    late = written(tmp_path / "late", ec.generate_private_key(ec.SECP256R1()), NOW - DAY)
    (tmp_path / "note.txt").write_text("hello")
    cases = {
        "the key of the certificate": Credentials(credentials.certificate, other.key),
        "a certificate at": Credentials(tmp_path / "gone.pem", other.key),
        "a private key in PEM": Credentials(credentials.certificate, tmp_path / "note.txt"),
        "a private key without a password": Credentials(credentials.certificate, credentials.certificate),
        "still valid": late,
    }
    for said, given in cases.items():
        with pytest.raises(UserError, match=said):
            open_signer(given)


def test_wrong_options_are_refused_before_any_work(
    credentials: Credentials, hum: Path, toy_avatar: Path, tmp_path: Path, capsys
) -> None:
    both = ["--sign-cert", str(credentials.certificate), "--sign-key", str(credentials.key)]
    sound = ["--audio", str(hum), "--avatar", str(toy_avatar)]
    for words, said in (
        (["speak", *sound, *both[:2]], "--sign-cert alone"),
        (["speak", *sound, *both, "--out", str(tmp_path / "x.webm")], "a file that can be signed"),
        (["export", str(toy_avatar), "--format", "ply", *both], "a format that can be signed"),
    ):
        assert run(words) == 2
        assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
