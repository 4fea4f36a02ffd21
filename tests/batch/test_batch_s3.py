"""A batch whose clips, avatars and videos are in an S3 store: moto's server, a real HTTP server of this machine."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from tests.batch.cluster import free_port, start, wait_for
from tests.unit.speak.conftest import voice

MISSING = [name for name in ("ray", "s3fs", "moto", "flask") if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(bool(MISSING), reason=f"needs ray, s3fs and moto[server]; missing: {', '.join(MISSING)}"),
]
"""Starts a store and Ray: about a minute. pip install s3fs 'moto[server]' in an environment of their own."""

SECRETS = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """What the environment has to say of a running store; a log of its requests lies in ``requests.txt``."""
    import s3fs

    port = free_port()
    facts = {**SECRETS, "FSSPEC_S3_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    for name, value in facts.items():
        monkeypatch.setenv(name, value)
    with (tmp_path / "requests.txt").open("w") as log:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            wait_for(lambda: "Running on" in (tmp_path / "requests.txt").read_text())
            s3fs.S3FileSystem(endpoint_url=facts["FSSPEC_S3_ENDPOINT_URL"]).mkdir("studio")
            yield facts
        finally:
            server.kill()
            server.wait()


def test_a_batch_in_a_store(store: dict[str, str], toy_avatar: Path, tmp_path: Path) -> None:
    import s3fs

    fs = s3fs.S3FileSystem(endpoint_url=store["FSSPEC_S3_ENDPOINT_URL"])
    fs.put(str(toy_avatar), "studio/avatars/toy", recursive=True)
    for name, seconds in (("long", 200.0), ("short", 1.0)):
        soundfile.write(tmp_path / f"{name}.wav", voice(seconds), 16_000)
        fs.put_file(str(tmp_path / f"{name}.wav"), f"studio/lines/{name}.wav")
    jobs = tmp_path / "jobs.csv"
    jobs.write_text(
        "verb,avatar,audio,format,out\n"
        "speak,avatars/toy,lines/short.wav,,talks/short.mp4\nspeak,avatars/toy,lines/long.wav,,talks/long.mp4\n"
        "export,avatars/toy,,ply-sequence,frames\nspeak,avatars/toy,lines/none.wav,,talks/none.mp4\n"
    )
    wrong = start(jobs, "--base", "s3://studio", "--cores", "2", "--work", str(tmp_path / "work"), **store)
    code, told = wrong.ended()
    assert code == 2 and "line 5 of jobs.csv: a file at s3://studio/lines/none.wav" in told, told
    jobs.write_text("".join(jobs.read_text().splitlines(keepends=True)[:-1]))
    run = start(jobs, "--base", "s3://studio", "--cores", "2", "--work", str(tmp_path / "work"), **store)
    code, told = run.ended()
    assert code == 0, told
    found = set(fs.find("studio"))
    assert {name for name in found if name.startswith("studio/talks")} == {
        "studio/talks/long.mp4", "studio/talks/short.mp4"}  # fmt: skip
    assert sum(name.startswith("studio/frames/frame_") for name in found) == 30
    assert not list((tmp_path / "work" / "rows").glob("*[!k]"))
    # Each video went up once, in one piece or in parts that were completed; the avatar came down once.
    requests = (tmp_path / "requests.txt").read_text()
    assert requests.count('"PUT /studio/talks/short.mp4 ') == 1
    assert requests.count('"GET /studio/avatars/toy/avatar.safetensors ') == 1
    again = start(jobs, "--base", "s3://studio", **store)
    assert again.ended()[0] == 0 and len(again.done()) == len(run.done())
