"""Derivatives through a smooth training say what leaving out examples does; those of a wild one do not."""

import pytest

from .running import run


@pytest.mark.slow
def test_attribution(tmp_path, capsys):
    arguments = ("--rows", 100, "--tests", 4, "--hidden", 6, "--epochs", 15, "--subsets", 25)
    result = run("attribution", tmp_path, *arguments)
    printed = capsys.readouterr().out
    assert result.exact[0, 0] > 0.97  # short steps, few examples
    assert result.exact[0, 0] > result.influence[0, 0] + 0.1
    assert f"learning rate 0.02{result.exact[0, 0]:14.3f}" in printed
