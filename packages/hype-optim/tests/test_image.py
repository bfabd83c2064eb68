import struct
import sys
import zlib

import numpy as np
import pytest
from hype_optim import load_image
from PIL import Image

COLORS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]], [[0, 0, 0], [51, 51, 51]]], np.uint8)


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_rows_are_rows_and_brightness_is_luma(tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(COLORS).save(path)
    expected = [[0.299, 0.587], [0.114, 1.0], [0.0, 0.2]]
    np.testing.assert_allclose(load_image(path), expected, atol=0.5 / 255)
    Image.fromarray(COLORS).convert("RGBA").save(path)
    np.testing.assert_allclose(load_image(str(path)), expected, atol=0.5 / 255)
    Image.fromarray(np.array([[0, 65535, 257]], np.uint16)).save(path)
    np.testing.assert_allclose(load_image(path), [[0, 1, 1 / 255]], rtol=1e-12)


@pytest.mark.parametrize("kind", ["png", "tiff", "ppm"])
def test_16_bits_are_scaled(tmp_path, kind):
    Image.fromarray(np.array([[0, 65535, 257]], np.uint16)).save(tmp_path / f"deep.{kind}")
    np.testing.assert_allclose(load_image(tmp_path / f"deep.{kind}"), [[0, 1, 1 / 255]], rtol=1e-12)


@pytest.mark.parametrize(("dtype", "said"), [(np.float32, "floats"), (np.int32, "integers of up to 32 bits")])
def test_pixels_without_a_scale_are_refused(tmp_path, dtype, said):
    path = tmp_path / "picture.tiff"
    Image.fromarray(np.array([[0, 0.25, 0.5, 1]]).astype(dtype)).save(path)
    with pytest.raises(ValueError, match=f"picture.tiff: cannot be read as a picture: its pixels are {said}"):
        load_image(path)


@pytest.mark.parametrize("kind", ["EPS", "PDF", "TGA"])
def test_other_formats_are_refused_whatever_the_name(tmp_path, kind):
    path = tmp_path / "picture.png"
    Image.fromarray(COLORS).save(path, kind)
    with pytest.raises(ValueError, match="cannot be read as a picture: cannot identify"):
        load_image(path)


def test_what_is_no_picture(tmp_path):
    path = tmp_path / "picture.png"
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        load_image(path)
    path.write_bytes(b"text")
    with pytest.raises(ValueError, match="cannot be read as a picture: cannot identify"):
        load_image(path)
    Image.fromarray(COLORS).save(path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match="cannot be read as a picture"):
        load_image(path)
    header, content = struct.pack(">IIBBBBB", 10**5, 10**5, 8, 0, 0, 0, 0), zlib.compress(b"\0" * 9)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content))
    with pytest.raises(ValueError, match="decompression bomb"):
        load_image(path)


def test_the_error_without_pillow_says_what_to_install(tmp_path, monkeypatch):
    Image.fromarray(COLORS).save(tmp_path / "picture.png")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"needs Pillow.*hype-optim\[plot\]"):
        load_image(tmp_path / "picture.png")
