"""Run the examples one after the other, and put what each prints and draws into docs/gallery.md.

The words of the page are written by hand and hold no results. Each example has a place there, between a comment with
its name and `<!-- end -->`, for its source, its run time and what it printed; this script fills it. The picture
replaces the one that the page shows. So text and picture are of one run.

    python examples/gallery.py                       # all of them, which takes most of an hour
    python examples/gallery.py maml hyper_cleaning   # some
"""

import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLES = Path(__file__).parent
PAGE = EXAMPLES.parent / "docs" / "gallery.md"
PLACE = re.compile(r"(<!-- (\w+)\.py -->\n).*?(?=<!-- end -->)", re.S)
LONGEST = 32  # lines of output that are shown


def cpu_seconds() -> float:
    """Of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def tidy(printed: str) -> str:
    """Without where the picture is, and without the middle of a long output."""
    lines = [line.rstrip() for line in printed.strip().splitlines() if not line.startswith("The picture is in ")]
    if len(lines) > LONGEST:
        lines = [*lines[: LONGEST // 2], "...", *lines[-LONGEST // 2 :]]
    return "\n".join(lines).strip()


def run(name: str, folder: Path) -> str:
    """Run one example as a user would, in an empty folder, and give what belongs in its place."""
    environment = {word: value for word, value in os.environ.items() if not word.startswith(("JAX_", "XLA_"))}
    began, used = time.perf_counter(), cpu_seconds()
    command = [sys.executable, str(EXAMPLES / f"{name}.py")]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    took, used = time.perf_counter() - began, cpu_seconds() - used
    if ended.returncode:
        raise RuntimeError(f"{name}.py failed:\n{ended.stderr}")
    # Where the machine has other work, the processor's time is the nearer one to what an idle machine takes.
    return (
        f"\n[`{name}.py`](../examples/{name}.py), at most {min(took, used):.0f} s on two cores:\n\n"
        f"```text\n{tidy(ended.stdout)}\n```\n\n"
    )


def fill(name: str) -> None:
    """Run an example, replace its picture, and fill its place."""
    with tempfile.TemporaryDirectory() as folder:
        text = run(name, Path(folder))
        page = PAGE.read_text()
        (picture,) = set(re.findall(rf"\]\((images/(?:gallery/)?{name}\.png)\)", page))
        shutil.copyfile(Path(folder) / "out" / f"{name}.png", PAGE.parent / picture)
    PAGE.write_text(PLACE.sub(lambda place: place[1] + text if place[2] == name else place[0], page))
    print(text, flush=True)


def main(argv: list[str] | None = None) -> None:
    """Fill the places of the examples that are named, or all."""
    for name in argv or [place[2] for place in PLACE.finditer(PAGE.read_text())]:
        fill(name)


if __name__ == "__main__":
    main(sys.argv[1:])
