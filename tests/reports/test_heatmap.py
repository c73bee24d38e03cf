"""The heat-map of a table of scores."""

import pytest

from polyray.reports.heatmap import heatmap


def test_every_score_stands_in_its_cell_and_the_best_of_a_column_is_the_darkest() -> None:
    figure = heatmap({"full": [0.5, 0.25], "sparse": [0.4, 0.75]}, ["eng", "swa"])
    (axes,) = figure.axes
    texts = {tuple(map(round, text.get_position())): text.get_text() for text in axes.texts}
    assert texts == {(0, 0): "50.0", (1, 0): "25.0", (0, 1): "40.0", (1, 1): "75.0"}
    shades = axes.images[0].get_array()
    assert shades is not None and shades.tolist() == [[1.0, 0.0], [0.0, 1.0]]
    with pytest.raises(ValueError, match="2 columns needs rows of as many scores"):
        heatmap({"full": [0.5]}, ["eng", "swa"])
