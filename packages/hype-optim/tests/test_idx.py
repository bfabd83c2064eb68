"""IDX files, plain and compressed: every type, and every way to be wrong."""

import gzip
import struct
import tracemalloc

import jax.numpy as jnp
import numpy as np
import pytest
from hype_optim import load_idx, load_mnist

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx(array):
    """The bytes of an IDX file."""
    header = struct.pack(f">HBB{array.ndim}I", 0, CODES[array.dtype.str[1:]], array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


BYTES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


@pytest.fixture
def write(tmp_path):
    def write(content, name="file"):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return write


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("compress", [lambda content: content, gzip.compress], ids=["plain", "gzip"])
def test_every_type(write, dtype, compress):
    expected = np.random.default_rng(0).normal(scale=100, size=(3, 2, 5)).astype(dtype)
    array = load_idx(write(compress(idx(expected))))
    assert array.dtype == expected.dtype
    assert array.dtype.isnative
    np.testing.assert_array_equal(array, expected)


def test_few_and_many_dimensions(write):
    for shape in ((5,), (1, 2, 1, 3), (0, 28, 28)):
        expected = np.ones(shape, np.uint8)
        np.testing.assert_array_equal(load_idx(str(write(idx(expected)))), expected)


def test_file_larger_than_one_read(write):
    expected = np.random.default_rng(1).integers(0, 256, (3, 700_001)).astype(np.uint8)
    np.testing.assert_array_equal(load_idx(write(idx(expected))), expected)
    np.testing.assert_array_equal(load_idx(write(gzip.compress(idx(expected), 1, mtime=0))), expected)


GOOD = idx(BYTES)
ZIPPED = gzip.compress(GOOD, mtime=0)
BAD_CHECKSUM = ZIPPED[:-8] + bytes([ZIPPED[-8] ^ 1]) + ZIPPED[-7:]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as an IDX file: found only 0 bytes"),
        (gzip.compress(b"\0\0", mtime=0), "found only 2 bytes"),
        (b"\x00\x01" + GOOD[2:], "found the bytes 00 01 08 03"),
        (b"\x00\x00\x0a" + GOOD[3:], "found the bytes 00 00 0a 03"),
        (b"\x00\x00\x08\x00", "found the bytes 00 00 08 00"),
        (b"GIF89a", "found the bytes 47 49 46 38"),
        (GOOD[:12], "the header promises 3 dimensions, but the file ends inside it"),
        (GOOD[:-1], "the header promises 2 x 3 x 4 entries of 1 bytes, 24 in all, but the file is truncated after 23"),
        (gzip.compress(GOOD[:-1], mtime=0), "24 in all, but the file is truncated after 23"),
        (GOOD + b"\0", "24 in all, but more bytes follow"),
        (gzip.compress(GOOD + b"\0", mtime=0), "24 in all, but more bytes follow"),
        (ZIPPED[:-9], "Compressed file ended before the end-of-stream marker"),
        (ZIPPED[:-3], "Compressed file ended before the end-of-stream marker"),
        (BAD_CHECKSUM, "CRC check failed"),
        (ZIPPED + b"x", "Compressed file ended|Not a gzipped file"),
        (ZIPPED[:12] + b"\xff\xff" + ZIPPED[14:], "Error -3 while decompressing data"),
        (struct.pack(">HBB3I", 0, 8, 3, *[2**32 - 1] * 3) + bytes(100), "more than the file can hold"),
        (
            gzip.compress(struct.pack(">HBB3I", 0, 8, 3, *[2**32 - 1] * 3) + bytes(100), mtime=0),
            "more than the file can hold",
        ),
        (struct.pack(">HBB65I", 0, 8, 65, *[1] * 65) + b"1", "maximum supported dimension"),
        (struct.pack(">HBB3I", 0, 14, 3, 0, 2**32 - 1, 2**32 - 1), "array is too big"),
    ],
    ids=repr,
)
def test_what_is_no_idx_file(write, content, message):
    path = write(content)
    with pytest.raises(ValueError, match=message) as error:
        load_idx(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_no_more_is_decompressed_than_the_header_says(write):
    path = write(gzip.compress(GOOD + bytes(50_000_000), mtime=0))
    tracemalloc.start()
    with pytest.raises(ValueError, match="more bytes follow"):
        load_idx(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent: there is no such file"):
        load_idx(tmp_path / "absent")
    with pytest.raises(ValueError, match="expected a file, found a directory"):
        load_idx(tmp_path)


LABELS = np.array([3, 7], np.uint8)


@pytest.fixture
def mnist(write, tmp_path):
    """A directory of four files, one of them compressed, one spelled as some archives spell it."""
    write(idx(BYTES), "train-images-idx3-ubyte")
    write(gzip.compress(idx(LABELS), mtime=0), "train-labels-idx1-ubyte.gz")
    write(idx(BYTES[:1]), "t10k-images.idx3-ubyte")
    write(idx(LABELS[:1]), "t10k-labels-idx1-ubyte")
    return tmp_path


def test_mnist(mnist):
    train, test = load_mnist(mnist)
    assert train.x.dtype == jnp.float64
    np.testing.assert_allclose(train.x, BYTES.reshape(2, 12) / 255)
    np.testing.assert_array_equal(train.y, LABELS)
    assert jnp.issubdtype(train.y.dtype, jnp.signedinteger)
    np.testing.assert_allclose(test.x, BYTES[:1].reshape(1, 12) / 255)
    np.testing.assert_array_equal(test.y, LABELS[:1])


def test_mnist_as_matrices(mnist):
    train, test = load_mnist(str(mnist), flatten=False)
    np.testing.assert_allclose(train.x, BYTES / 255)
    assert test.x.shape == (1, 3, 4)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train-labels-idx1-ubyte", idx(LABELS[:1]), "train-images-idx3-ubyte has 2 images, but .* has 1 labels"),
        (
            "train-images-idx3-ubyte",
            idx(LABELS),
            r"expected unsigned bytes in 3 dimensions, found uint8 of shape \(2,\)",
        ),
        (
            "t10k-labels-idx1-ubyte",
            idx(np.ones(1, np.float32)),
            "expected unsigned bytes in 1 dimensions, found float32",
        ),
        ("train-images-idx3-ubyte", GOOD[:-1], "truncated"),
    ],
)
def test_files_that_do_not_fit(mnist, write, name, content, message):
    write(content, name)
    with pytest.raises(ValueError, match=message):
        load_mnist(mnist)


def test_images_of_two_sizes(mnist, write):
    write(idx(BYTES[:1, :2]), "t10k-images.idx3-ubyte")
    with pytest.raises(ValueError, match=r"training images of shape \(3, 4\), but test images of shape \(2, 4\)"):
        load_mnist(mnist)


def test_missing_files(mnist, tmp_path):
    (mnist / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match=r"a file t10k-labels-idx1-ubyte or t10k-labels-idx1-ubyte\.gz in it"):
        load_mnist(mnist)
    with pytest.raises(FileNotFoundError, match="expected a directory with MNIST-format files, found nothing"):
        load_mnist(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="found a file"):
        load_mnist(mnist / "train-images-idx3-ubyte")
