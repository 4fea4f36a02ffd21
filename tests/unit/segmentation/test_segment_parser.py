"""Optional parsers: what is refused and how, and what a parser changes."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gaussavatar.errors import UserError
from gaussavatar.segmentation.parser import fuse_person, open_parser, parse_frame
from gaussavatar.segmentation.parser_bisenet import CLASSES, network_input, softmax


class HalfAndHalf:
    """A parser that sees hair on the left, body skin on the right, and nothing else."""

    names = ("background", "hair", "body_skin", "")

    def probabilities(self, image: np.ndarray) -> np.ndarray:
        found = np.zeros((8, 8, 4), np.float32)
        found[:, :4, 1] = 1
        found[:, 4:, 2] = 0.75
        found[:, 4:, 3] = 0.25
        return found


def test_parts_of_a_parser() -> None:
    """Classes become parts; body skin may be neck or ears; what no part stands for is left out."""
    parts = parse_frame(HalfAndHalf(), np.zeros((32, 32, 3), np.uint8), 16)
    assert set(parts) == {"background", "hair", "neck", "ears"}
    assert parts["hair"].shape == (16, 16) and parts["hair"][:, :6].min() == 1 and parts["hair"][:, 10:].max() == 0
    assert parts["neck"][:, 10:].max() == np.float32(0.75)
    person = fuse_person(np.full((32, 32), 0.5, np.float32), {"background": np.eye(16, dtype=np.float32)[::-1]})
    assert person[31, 0] < 0.3 < 0.7 < person[0, 0]


def test_parser_with_the_wrong_number_of_classes_is_refused() -> None:
    """An answer that does not fit the names would be read as nonsense."""
    parser = HalfAndHalf()
    parser.names = ("background", "hair")  # type: ignore[assignment]
    with pytest.raises(UserError, match="2 classes"):
        parse_frame(parser, np.zeros((32, 32, 3), np.uint8), 16)


def test_missing_and_foreign_files_are_refused(tmp_path: Path) -> None:
    """Each message says which files there are to give."""
    with pytest.raises(UserError, match="no such file"):
        open_parser(tmp_path / "model.onnx")
    (tmp_path / "model.pth").write_bytes(b"x")
    with pytest.raises(UserError, match=r"\.tflite .*\.onnx"):
        open_parser(tmp_path / "model.pth")
    (tmp_path / "model.tflite").write_bytes(b"not a flatbuffer at all")
    with pytest.raises(UserError, match="no TensorFlow Lite model"):
        open_parser(tmp_path / "model.tflite")
    (tmp_path / "model.tflite").write_bytes(b"\x1c\0\0\0TFL3" + bytes(100))
    with pytest.raises(UserError, match="does not open"):
        open_parser(tmp_path / "model.tflite")


def test_another_tflite_model_is_refused() -> None:
    """MediaPipe's own selfie model runs through the same calls and is one class short of six."""
    import mediapipe

    model = Path(mediapipe.__file__).parent / "modules" / "selfie_segmentation" / "selfie_segmentation.tflite"
    with pytest.raises(UserError, match="a model of 1 classes"):
        open_parser(model)


def test_onnx_without_onnxruntime_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is no dependency; who gives an ONNX file is told its name."""

    def missing(name: str) -> Any:
        raise ImportError(name)

    (tmp_path / "model.onnx").write_bytes(b"x")
    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(UserError, match="pip install onnxruntime"):
        open_parser(tmp_path / "model.onnx")


def test_network_input_and_softmax() -> None:
    """Grey 124 is about zero after normalising; probabilities sum to one and keep the order."""
    batch = network_input(np.full((10, 10, 3), 124, np.uint8), 4)
    assert batch.shape == (1, 3, 4, 4) and np.abs(batch).max() < 0.4
    logits = np.random.default_rng(0).normal(0, 30, (19, 3, 3)).astype(np.float32)
    probabilities = softmax(logits)
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-5)
    assert (probabilities.argmax(-1) == logits.argmax(0)).all()


def _tiny_network(path: Path, classes: int) -> None:
    """One 1x1 convolution from three colours to ``classes`` logits; class k is as likely as k times red."""
    onnx = pytest.importorskip("onnx", reason="the package onnx, which writes the tiny network, is not installed")
    weight = np.zeros((classes, 3, 1, 1), np.float32)
    weight[:, 0, 0, 0] = np.arange(classes)
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Conv", ["image", "weight"], ["logits"])],
        "tiny",
        [info("image", onnx.TensorProto.FLOAT, [1, 3, 16, 16])],
        [info("logits", onnx.TensorProto.FLOAT, [1, classes, 16, 16])],
        [onnx.numpy_helper.from_array(weight, "weight")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())


def test_bisenet_through_onnxruntime(tmp_path: Path) -> None:
    """A tiny network of the same form runs: white makes the last class, black the first the likeliest."""
    pytest.importorskip("onnxruntime", reason="the package onnxruntime is not installed")
    _tiny_network(tmp_path / "tiny.onnx", len(CLASSES))
    parser = open_parser(tmp_path / "tiny.onnx")
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, 32:] = 255
    found = parser.probabilities(image)
    assert found.shape == (16, 16, 19)
    assert (found[:, :7].argmax(-1) == 0).all() and (found[:, 9:].argmax(-1) == 18).all()
    assert parse_frame(parser, image, 32)["hair"][:, 20:].min() > 0.8
    _tiny_network(tmp_path / "other.onnx", 7)
    with pytest.raises(UserError, match=r"answers with shape \(1, 7, 16, 16\)"):
        open_parser(tmp_path / "other.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"nothing")
    with pytest.raises(UserError, match="onnxruntime does not open"):
        open_parser(tmp_path / "broken.onnx")
