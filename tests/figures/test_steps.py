import re

import pytest
from matplotlib.figure import Figure

from labkit import figures
from labkit.figures.steps import HEIGHT
from labkit.handcalc import avg_pool, convolve, cross_correlate
from labkit.style import WIDTH, svg

IMAGE = [[2, 1, 2, 3, 1], [3, 9, 1, 1, 4], [4, 5, 0, 7, 0]]
SOBEL = [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]


def written(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def frames(figure: Figure) -> list[tuple[float, ...]]:
    """Column, row, columns, rows of every thick frame."""
    return [
        (*patch.get_xy(), patch.get_width(), patch.get_height())
        for patch in figure.axes[0].patches
        if not patch.get_fill() and patch.get_linewidth() > 1
    ]


def test_a_drawn_step_frames_its_window_and_its_entry():
    figure = figures.windows(convolve(IMAGE, SOBEL, padding=1), (1, 2))
    texts = written(figure)
    assert [name for name in texts if name.isalpha() or " input" in name] == [
        "padded input",
        "weights",
        "result",
    ]
    cells = 5 * 7 + 3 * 3 + 3 * 5
    assert len([text for text in texts if re.fullmatch(r"−?\d+", text)]) == cells
    assert texts[-1] == "row 2, column 3: 1·1 + (−1)·3 + 2·9 + (−2)·1 + 1·5 + (−1)·7 = 12"
    window, entry = frames(figure)
    assert window == (2, 2, 3, 3)  # one row below the name of the matrix
    assert entry[2:] == (1, 1)
    at = {text.get_position(): text.get_text() for text in figure.axes[0].texts}
    assert at[entry[0] + 0.5, entry[1] + 0.5] == "12"


def test_padding_is_drawn_in_italics():
    figure = figures.windows(cross_correlate([[7]], [[1]], padding=1), (1, 1))
    texts = figure.axes[0].texts
    assert [text.get_text() for text in texts if text.get_style() == "italic"] == ["0"] * 8
    assert len([text for text in texts if text.get_text() == "7"]) == 2


def test_each_channel_has_a_row_and_each_position_a_band():
    worked = cross_correlate([IMAGE] * 3, [[SOBEL] * 3] * 2, bias=[1, -3])
    texts = written(figures.windows(worked, [(0, 0, 0), (1, 0, 2)]))
    assert [name for name in texts if name.startswith("input")] == [
        f"input, channel {number}" for number in (1, 2, 3, 1, 2, 3)
    ]
    results = [name for name in texts if name.startswith("result")]
    assert results == ["result, channel 1", "result, channel 2"]
    assert texts.count("weights") == 6


def test_with_dilation_every_entry_has_its_frame():
    worked = cross_correlate(IMAGE, [[1, 1], [1, 1]], dilation=(2, 3))
    *window, _ = frames(figures.windows(worked, (0, 1)))
    assert window == [(1, 1, 1, 1), (4, 1, 1, 1), (1, 3, 1, 1), (4, 3, 1, 1)]


def test_pooling_is_drawn_without_weights():
    worked = avg_pool(IMAGE, 2, padding=1, count_include_pad=False)
    texts = written(figures.windows(worked, (0, 0)))
    assert "weights" not in texts
    assert texts.count("·") == 7 * 2 + 3 * 2  # padding that does not count


def test_a_drawing_fits_the_page_and_is_vector_graphics():
    wide = [[(7 * row * column) % 10 for column in range(18)] for row in range(18)]
    figure = figures.windows(cross_correlate(wide, [[1] * 5] * 5, stride=2), (3, 3))
    width, height = figure.get_size_inches()
    assert width == WIDTH
    assert height <= HEIGHT
    figure.draw_without_rendering()
    for text in figure.axes[0].texts:
        box = text.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.width
        assert box.y0 >= 0
        assert text.get_fontsize() > 5
    assert "<image" not in svg(figure)


def test_a_drawing_too_large_to_read_is_an_error_at_once():
    photograph = cross_correlate([[1] * 400] * 300, [[1] * 128] * 128)
    with pytest.raises(ValueError, match=r"padded input is 1×300×400.* smaller input.*html"):
        figures.windows(photograph, (0, 0))
    assert "result" not in photograph.__dict__  # which takes minutes
    small = cross_correlate(IMAGE, SOBEL, padding=1)
    with pytest.raises(ValueError, match="draw fewer positions"):
        figures.windows(small, [(0, 0)] * 9)
    with pytest.raises(ValueError, match=r"no entry \(3, 0\)"):
        figures.windows(small, (3, 0))
