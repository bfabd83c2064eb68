"""Writing files completely or not at all."""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedWriter
from pathlib import Path


@contextmanager
def replace_file(path: str | os.PathLike[str]) -> Iterator[BufferedWriter]:
    """A stream whose content takes the place of a file, and its permissions, when all of it is on the disk.

    A link stays one: what it points to is replaced. On Linux what is written has no name before it is complete, so
    nothing is left of it if the process is killed; elsewhere that is a file `.NAME.PROCESS.THREAD.unfinished` beside.
    """
    target = Path(os.path.realpath(path))
    beside = target.with_name(f".{target.name}.{os.getpid()}.{threading.get_ident()}.unfinished")
    try:
        with _open_unnamed(target.parent) or beside.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            if not beside.exists():
                # A folder is given, though of no use to a path from the root, for the link to be followed.
                os.link(f"/proc/self/fd/{stream.fileno()}", beside, src_dir_fd=stream.fileno())
        if target.exists():
            shutil.copymode(target, beside)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def _open_unnamed(folder: Path) -> BufferedWriter | None:
    """A file without a name, where the system and its file system have such; a name can be given to it later."""
    try:
        descriptor = os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o666)
    except (AttributeError, OSError):
        return None
    return open(descriptor, "wb")
