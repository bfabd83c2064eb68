"""What fills the gallery's page: the text and the picture of one run, in the place of the example and nowhere else."""

import pytest

from .running import example

PAGE = """# Gallery

![a picture](images/gallery/one.png)

<!-- one.py -->
old
<!-- end -->

![another](images/two.png)

<!-- two.py -->
kept
<!-- end -->
"""
SCRIPT = """
from pathlib import Path
print("The answer is 42.   ")
print("The picture is in out/one.png.")
Path("out").mkdir()
Path("out/one.png").write_text("a picture")
"""


@pytest.fixture
def gallery(tmp_path, monkeypatch):
    gallery = example("gallery")
    (tmp_path / "docs" / "images" / "gallery").mkdir(parents=True)
    monkeypatch.setattr(gallery, "EXAMPLES", tmp_path)
    monkeypatch.setattr(gallery, "PAGE", tmp_path / "docs" / "gallery.md")
    gallery.PAGE.write_text(PAGE)
    return gallery


def test_an_example_fills_its_place(gallery, tmp_path):
    (tmp_path / "one.py").write_text(SCRIPT)
    gallery.main(["one"])
    page = gallery.PAGE.read_text()
    assert "```text\nThe answer is 42.\n```" in page
    assert "[`one.py`](../examples/one.py), at most " in page
    assert "old" not in page
    assert "kept" in page
    assert (tmp_path / "docs" / "images" / "gallery" / "one.png").read_text() == "a picture"


def test_an_example_that_fails_leaves_the_page(gallery, tmp_path):
    (tmp_path / "one.py").write_text("raise ValueError('not today')")
    with pytest.raises(RuntimeError, match="not today"):
        gallery.main(["one"])
    assert gallery.PAGE.read_text() == PAGE


def test_a_long_output_is_cut_in_its_middle(gallery):
    lines = gallery.tidy("\n".join(map(str, range(100)))).splitlines()
    assert lines[:2] == ["0", "1"]
    assert lines[-1] == "99"
    assert "..." in lines
    assert len(lines) == gallery.LONGEST + 1
