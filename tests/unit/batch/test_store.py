"""Inputs come once, outputs go whole: here through ``file://`` and ``memory://``."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from gaussavatar.batch import store
from gaussavatar.errors import UserError


@pytest.fixture(params=["file", "memory"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"file://{tmp_path}/bucket" if request.param == "file" else f"memory://{tmp_path.name}"


def filled(folder: Path) -> Path:
    for name in ("avatar.json", "avatar.safetensors", "report/metrics.json", "capture/head.npz", "capture/frames.bin",
                 "train/checkpoint.safetensors", ".lock"):  # fmt: skip
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


def below(address: str) -> set[str]:
    fs, path = store.opened(address)
    return {str(found)[len(path) :].lstrip("/") for found in fs.find(path)}


KEPT = {"avatar.json", "avatar.safetensors", "report/metrics.json", "capture/head.npz"}


def test_a_file_goes_and_comes(address: str, tmp_path: Path) -> None:
    (tmp_path / "talk.mp4").write_bytes(b"film")
    store.put(tmp_path / "talk.mp4", f"{address}/talks/talk.mp4")
    assert store.exists(f"{address}/talks/talk.mp4") and not store.exists(f"{address}/talks/other.mp4")
    assert store.fetch(f"{address}/talks/talk.mp4", tmp_path / "here").read_bytes() == b"film"
    assert below(address) == {"talks/talk.mp4"}
    store.remove(f"{address}/talks/talk.mp4")
    assert not store.exists(f"{address}/talks/talk.mp4")
    store.remove(f"{address}/talks/talk.mp4")


def test_of_a_fit_the_avatar_goes_and_the_rest_where_it_is_wanted(address: str, tmp_path: Path) -> None:
    folder = filled(tmp_path / "anna")
    store.put(folder, f"{address}/anna", whole=False)
    assert below(f"{address}/anna") == KEPT
    store.put(folder, f"{address}/anna", whole=True)
    assert below(f"{address}/anna") == KEPT | {"capture/frames.bin", "train/checkpoint.safetensors"}
    came = store.fetched_once(f"{address}/anna", "k", tmp_path / "cache", whole=False)
    assert {str(path.relative_to(came)) for path in came.rglob("*") if path.is_file()} == KEPT


def test_the_header_goes_last_and_an_old_one_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"memory://{tmp_path.name}-order"
    store.put(filled(tmp_path / "anna"), f"{address}/anna")
    fs = fsspec.filesystem("memory")
    calls: list[str] = []
    put = fs.put_file

    def failing(path: str, target: str) -> None:
        calls.append(Path(target).name)
        if "safetensors" in target:
            raise ConnectionError("the store went away")
        put(path, target)

    monkeypatch.setattr(type(fs), "put_file", lambda self, path, target: failing(path, target))
    with pytest.raises(UserError, match="went away"):
        store.put(tmp_path / "anna", f"{address}/anna")
    assert "avatar.json" not in calls and not store.exists(f"{address}/anna/avatar.json")


def test_an_input_of_many_rows_is_fetched_once(address: str, tmp_path: Path) -> None:
    store.put(filled(tmp_path / "anna"), f"{address}/anna")
    first = store.fetched_once(f"{address}/anna", "k", tmp_path / "cache")
    store.remove(f"{address}/anna")
    assert store.fetched_once(f"{address}/anna", "k", tmp_path / "cache") == first
    assert (first / "avatar.json").read_text() == "avatar.json"
    with pytest.raises(UserError):
        store.fetched_once(f"{address}/anna", "another", tmp_path / "cache")


def test_a_fingerprint_changes_with_what_is_there(address: str, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"one")
    prints = [store.fingerprint(str(path))]
    store.put(path, f"{address}/a.wav")
    prints.append(store.fingerprint(f"{address}/a.wav"))
    assert store.fingerprint(f"{address}/a.wav") == prints[1]
    path.write_bytes(b"other")
    store.put(path, f"{address}/a.wav")
    prints += [store.fingerprint(str(path)), store.fingerprint(f"{address}/a.wav")]
    assert len(set(prints)) == 4


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("nowhere://a/b", "an address that fsspec knows"),
        ("file:///nowhere/at/all.wav", "a file at file:///nowhere"),
        ("/nowhere/at/all.wav", "a file at /nowhere"),
    ],
)
def test_a_place_without_anything_is_one_line(place: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        store.fingerprint(place)
