"""The notebooks run from top to bottom in a kernel and show what they should; `nox -s notebooks` runs this."""

from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "docs" / "notebooks").glob("*.py"))
OUT = ROOT / "out" / "notebooks"  # with their outputs, to be looked at
MOST_LINES = 12  # of text in the output of a cell


# One worker runs a notebook and all that is asked of it.
EACH = [pytest.param(path, id=path.stem, marks=pytest.mark.xdist_group(path.stem)) for path in SOURCES]


@pytest.fixture(scope="module", params=EACH)
def executed(request):
    """A notebook after its run, which raises where a cell does."""
    notebook = jupytext.read(request.param)
    folder = {"metadata": {"path": str(request.param.parent)}}
    NotebookClient(notebook, timeout=600, resources=folder, coalesce_streams=True).execute()
    OUT.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, OUT / f"{request.param.stem}.ipynb")
    return notebook


def outputs(notebook):
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def shown_lines(text):
    """The lines that stay on the page: a carriage return begins a line anew, as a progress bar does."""
    return [line.rsplit("\r", 1)[-1] for line in text.split("\n") if line.strip()]


def test_figures_and_results_are_shown(executed):
    kinds = [kind for output in outputs(executed) for kind in output.get("data", {})]
    assert "image/png" in kinds
    assert "text/html" in kinds


def test_progress_takes_a_few_lines(executed):
    for cell in executed.cells:
        streams = [output for output in cell.get("outputs", []) if output.output_type == "stream"]
        lines = [line for stream in streams for line in shown_lines(stream.text)]
        assert len(lines) <= MOST_LINES, cell.source


def test_a_bar_is_complete_and_below_the_cell_that_made_it(executed):
    loud = [cell for cell in executed.cells if "%|" in str(cell.get("outputs", ""))]
    for cell in loud:
        text = "".join(output.text for output in cell.outputs if output.output_type == "stream")
        assert any("100%|" in line for line in shown_lines(text))
        assert any(word in cell.source for word in ("minimize(", "tune(", "sample("))


def test_nothing_looks_like_an_error(executed):
    assert [output.text for output in outputs(executed) if output.get("name") == "stderr"] == []
