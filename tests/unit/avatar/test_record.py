"""The header of an avatar: what is written is read, version 1 is read as what it meant, all else is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from gaussavatar.audio.drive import DriveConfig, codes_for_audio
from gaussavatar.audio.gate import GateConfig
from gaussavatar.avatar.finding import HEADER
from gaussavatar.avatar.folder import open_folder, write_record
from gaussavatar.avatar.load import load_avatar
from gaussavatar.avatar.record import VERSION, record_from_plain, record_to_plain
from gaussavatar.errors import UserError
from gaussavatar.types import Waveform


def copied(toy_avatar: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(toy_avatar, tmp_path / "toy"))


def rewritten(folder: Path, change) -> Path:  # noqa: ANN001
    header = json.loads((folder / HEADER).read_text())
    change(header)
    (folder / HEADER).write_text(json.dumps(header))
    return folder


def to_version_1(header: dict) -> None:
    """What the program wrote before the knobs of speaking were a part of their own."""
    drive = header.pop("drive")
    header["version"] = 1
    header["model"]["mouth_gain"] = drive["mouth_gain"]
    for name in ("source", "recipe", "seed", "program", "expression_names", "static_camera"):
        header.pop(name)


def voice() -> Waveform:
    time = np.arange(16_000, dtype=np.float32) / 16_000
    return Waveform((0.4 * np.sin(900 * time) * np.sin(20 * time) ** 2).astype(np.float32), 16_000)


def test_a_record_survives_the_file(toy_avatar: Path) -> None:
    record = open_folder(toy_avatar).record
    again = record_from_plain(json.loads(json.dumps(record_to_plain(record))), toy_avatar)
    assert again == record and record.subject == "nobody" and record.has("avatar.safetensors")


def test_a_header_of_version_1_speaks_with_its_own_gain(toy_avatar: Path, tmp_path: Path) -> None:
    folder = copied(toy_avatar, tmp_path)
    write_record(folder, load_with_gain(folder, 1.7))
    new = load_avatar(folder).codes_for_audio(voice())
    old = load_avatar(rewritten(folder, to_version_1))
    assert old.record.drive == DriveConfig(mouth_gain=1.7)
    assert np.array_equal(old.codes_for_audio(voice()), new)
    plain = load_avatar(toy_avatar)
    closed = plain.closed.numpy()
    wanted = codes_for_audio(plain.encoder, voice(), closed=closed, config=DriveConfig(mouth_gain=1.7))
    assert np.array_equal(new, wanted) and not np.array_equal(new, plain.codes_for_audio(voice()))


def test_an_avatar_from_before_it_knew_what_it_heard_speaks_as_it_did(toy_avatar: Path, tmp_path: Path) -> None:
    def before(header: dict) -> None:
        del header["encoder"]["heard"], header["drive"]["ood"]

    new, old = load_avatar(toy_avatar), load_avatar(rewritten(copied(toy_avatar, tmp_path), before))
    assert old.record.drive == new.record.drive and old.record.encoder.heard == 0
    assert np.array_equal(old.codes_for_audio(voice()), new.codes_for_audio(voice()))
    wished = load_avatar(toy_avatar, ood=0.25)
    assert wished.record.drive.ood == 0.25 and wished.record.identity == new.record.identity
    for strange in (-0.1, 1.5, float("nan")):
        with pytest.raises(UserError, match="an ood of 0 to 1"):
            load_avatar(toy_avatar, ood=strange)


def load_with_gain(folder: Path, gain: float):  # noqa: ANN201
    from dataclasses import replace

    return replace(open_folder(folder).record, drive=DriveConfig(mouth_gain=gain))


def test_a_recipes_gate_reaches_the_speaking_avatar(toy_avatar: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    folder = copied(toy_avatar, tmp_path)
    shut = replace(open_folder(folder).record, drive=DriveConfig(gate=GateConfig(threshold=50.0)))
    write_record(folder, shut)
    avatar = load_avatar(folder)
    assert np.allclose(avatar.codes_for_audio(voice()), avatar.closed.numpy(), atol=1e-6)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda header: header.update(version=VERSION + 1), f"version {VERSION + 1}"),
        (lambda header: header.update(wings=2), "wings"),
        (lambda header: header["model"]["face"].update(wings=2), "model.face.wings"),
        (lambda header: header["model"].update(mouth_gain=1.1), "model.mouth_gain"),
        (lambda header: header["encoder"].update(width="80"), "encoder"),
        (lambda header: header.update(image_size="large"), "image_size"),
        (lambda header: header.update(image_size=0), "image_size 0"),
        (lambda header: header.update(version=True), "version True"),
        (lambda header: header.pop("shapes"), "shapes"),
        (lambda header: header.update(files=[1]), "files"),
    ],
)
def test_a_changed_header_is_refused_in_one_line(toy_avatar: Path, tmp_path: Path, change, said: str) -> None:  # noqa: ANN001
    folder = rewritten(copied(toy_avatar, tmp_path), change)
    with pytest.raises(UserError, match=said) as caught:
        load_avatar(folder)
    assert "\n" not in str(caught.value)
