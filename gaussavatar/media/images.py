"""Single images: reading, writing and resizing."""

from __future__ import annotations

import warnings
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from gaussavatar.errors import UserError
from gaussavatar.storage import atomic_path, require_plain

JPEG_QUALITY = 95
MOST_PIXELS, MOST_BYTES = 120_000_000, 1 << 30


def read_image(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """Read an image file as RGB; what is transparent in it lies over white.

    Raises:
        UserError: no such file, or not an image.
    """
    if not path.is_file():
        raise UserError(f"an image at {path}", "no such file", "check the path")
    require_plain(path, MOST_BYTES)
    data = np.fromfile(path, np.uint8)
    _check_size(data, path)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        raise UserError(f"an image at {path}", "a file that is not one", "give a png or jpg file")
    whole = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if whole is not None and whole.ndim == 3 and whole.shape[2] == 4 and whole.shape[:2] == image.shape[:2]:
        alpha = whole[..., 3:].astype(np.float32) / np.iinfo(whole.dtype).max
        image = np.rint(alpha * image + 255 * (1 - alpha)).astype(np.uint8)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _check_size(data: UInt8[np.ndarray, "n"], path: Path) -> None:
    """Refuse a picture that says that it is larger than any camera's; pictures without their rows say so, too."""
    import io

    from PIL import Image

    try:
        # Pillow has a limit of its own, and warns of half of it, while it looks at the head alone.
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data.tobytes())) as seen:
            width, height = seen.size
    except Image.DecompressionBombError as error:
        raise _too_large(path, "more") from error
    # Of what Pillow does not know OpenCV has to decide.
    except (OSError, ValueError, SyntaxError):
        return
    if width * height > MOST_PIXELS:
        raise _too_large(path, f"{width} x {height}")


def _too_large(path: Path, came: str) -> UserError:
    return UserError(f"an image of at most {MOST_PIXELS // 10**6} megapixels at {path}", came, "make it smaller")


def write_image(path: Path, image: UInt8[np.ndarray, "h w c"]) -> None:
    """Write an RGB, RGBA or grey (h, w) image as png or jpg by the path's suffix, atomically.

    Raises:
        UserError: the path cannot be written or its suffix is not an image's.
    """
    suffix = path.suffix.lower()
    if suffix not in (".png", ".jpg", ".jpeg"):
        raise UserError("an image path that ends in .png or .jpg", str(path), "change the suffix")
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR)
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if suffix != ".png" else []
    _, encoded = cv2.imencode(suffix, image, options)
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def jpeg_bytes(image: UInt8[np.ndarray, "h w 3"], quality: int = JPEG_QUALITY) -> bytes:
    """An RGB image as a JPEG file of ``quality`` percent."""
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return encoded.tobytes()


def resize(image: UInt8[np.ndarray, "h w *c"], size: int | tuple[int, int]) -> UInt8[np.ndarray, "h2 w2 *c"]:
    """Resize to ``size`` (a side, or width and height): area when it shrinks, cubic when it grows."""
    width, height = (size, size) if isinstance(size, int) else size
    shrinks = width * height < image.shape[0] * image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
