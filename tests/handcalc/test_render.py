"""What a Worked looks like: golden texts, and Markdown that pandoc and Typst can set."""

import pypandoc
import pytest
import typst

from labkit.handcalc import (
    Conv2d,
    Flatten,
    Linear,
    avg_pool,
    convolve,
    cross_correlate,
    layer_table,
    markdown,
    max_pool,
    text,
)
from labkit.handcalc.windows import flat

IMAGE = [[2, 1, 2, 3, 1], [3, 9, 1, 1, 4], [4, 5, 0, 7, 0]]
SOBEL = [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]
TASK_1A = convolve(IMAGE, SOBEL, padding=1)
TABLE = layer_table([Conv2d(3, 32, 5, padding=2), Flatten(), Linear(32768, 10)], (3, 32, 32))
LARGE = [[(r * c) % 7 for c in range(20)] for r in range(20)]

EXAMPLES = {
    "convolution": TASK_1A,
    "step": TASK_1A.at(0, 0),
    "floats": cross_correlate([[0.5, 1e-9], [1e12, -2]], [[1.5]], bias=-0.25),
    "channels": convolve([IMAGE, IMAGE], [SOBEL, SOBEL], padding=1, bias=1),
    "step of channels": convolve([IMAGE, IMAGE], [SOBEL, SOBEL], padding=1, bias=1).at(1, 1),
    "filters": cross_correlate([IMAGE], [[SOBEL], [SOBEL]], bias=[1, -2]),
    "large": cross_correlate(LARGE, [[1] * 5] * 5, stride=(1, 2), dilation=2),
    "step of large": cross_correlate(LARGE, [[1] * 5] * 5).at(3, 3),
    "maximum": max_pool(IMAGE, 2, padding=1, ceil_mode=True),
    "average": avg_pool([IMAGE, IMAGE], 3, stride=2, padding=1, count_include_pad=False),
    "negative average": avg_pool([[-1, -2]], (1, 2)),
    "wide average": avg_pool(LARGE, 5),
    "step of average": avg_pool(IMAGE, 2).at(0, 0),
    "table": TABLE,
}


def test_text_of_task_1a():
    assert str(TASK_1A).splitlines()[:6] == [
        "convolution, kernel 3×3 turned by 180°, stride 1, padding 1",
        "-11   2   4  -1   7",
        "-24   8  12  -5  12",
        "-19  10   4  -3  15",
        "row 1, column 1: (-2)·1 + (-1)·9 = -11",
        "row 1, column 2: 2·2 + (-2)·2 + 1·3 + (-1)·1 = 2",
    ]
    assert len(str(TASK_1A).splitlines()) == 4 + 15


def test_text_of_pooling():
    assert str(avg_pool(IMAGE, 2)).splitlines() == [
        "average pooling, kernel 2×2, stride 2",
        "15/4  7/4",
        "row 1, column 1: (2 + 1 + 3 + 9)/4 = 15/4",
        "row 1, column 2: (2 + 3 + 1 + 1)/4 = 7/4",
    ]
    assert str(max_pool(IMAGE, 2).at(0, 0)) == "row 1, column 1: max(2, 1, 3, 9) = 9"
    padded = avg_pool([[6, -2]], (1, 2), padding=(0, 1), count_include_pad=False)
    assert str(padded.at(0, 1)) == "row 1, column 2: ((-2))/1 = -2"


def test_steps_can_be_chosen():
    large = EXAMPLES["large"]
    assert len(text(large, steps=False).splitlines()) == 1 + 12
    assert len(text(large, steps=True).splitlines()) == 1 + 12 + len(large.windows)
    brief = text(large).splitlines()
    assert f"… {len(large.windows) - 4} more windows …" in brief
    assert len(brief) == 1 + 12 + 5


def test_text_of_a_layer_table():
    assert str(TABLE).splitlines() == [
        "layer                                     output  weights + biases  parameters",
        "5×5 convolution, 32 filters, padding 2  32×32×32   32·(3·5·5) + 32       2,432",
        "flatten                                   32,768                             0",
        "fully connected, 10 units                     10    10·32,768 + 10     327,690",
        "total                                                                  330,122",
    ]


def test_markdown_of_a_layer_table():
    assert markdown(TABLE).splitlines() == [
        "| layer | output | weights + biases | parameters |",
        "|:--|--:|--:|--:|",
        "| 5×5 convolution, 32 filters, padding 2 | 32×32×32 | 32·(3·5·5) + 32 | 2,432 |",
        "| flatten | 32,768 |  | 0 |",
        "| fully connected, 10 units | 10 | 10·32,768 + 10 | 327,690 |",
        "| total |  |  | 330,122 |",
    ]


def test_markdown_of_one_step():
    assert markdown(TASK_1A.at(0, 0)) == (
        r"$$\begin{pmatrix}0 & 0 & 0 \\ 0 & 2 & 1 \\ 0 & 3 & 9\end{pmatrix} \circ "
        r"\begin{pmatrix}1 & 0 & -1 \\ 2 & 0 & -2 \\ 1 & 0 & -1\end{pmatrix} = "
        r"\begin{pmatrix}0 & 0 & 0 \\ 0 & 0 & -2 \\ 0 & 0 & -9\end{pmatrix}$$"
        "\n\n"
        r"$$y_{1,1} = (-2) \cdot 1 + (-1) \cdot 9 = -11$$"
    )


def test_markdown_shows_every_window_of_task_1a():
    steps = markdown(TASK_1A).split(r"\begin{aligned}")[1].split(r"\end{aligned}")[0]
    lines = steps.replace("\n", "").split(r" \\")
    places = [(row, column) for row in range(3) for column in range(5)]
    for line, (row, column) in zip(lines, places, strict=True):
        assert line.startswith(f"y_{{{row + 1},{column + 1}}} &= ")
        assert line.endswith(f" = {TASK_1A.result[row][column]}")


@pytest.mark.parametrize("name", ["floats", "channels", "filters", "step of large"])
def test_a_written_sum_gives_its_value(name):
    windows = getattr(EXAMPLES[name], "windows", [EXAMPLES[name]])
    for window in windows:
        written, value = text(window).split(": ", 1)[1].rsplit(" = ", 1)
        assert eval(written.replace("·", "*")) == pytest.approx(float(value), rel=1e-5)
        assert window.value == pytest.approx(sum(flat(window.products)) + window.bias)


@pytest.mark.parametrize("name", EXAMPLES)
def test_markdown_survives_pandoc_and_typst(name):
    source = pypandoc.convert_text(
        markdown(EXAMPLES[name]),
        "typst",
        format="markdown",
        extra_args=["--fail-if-warnings", "--standalone"],
    )
    assert "\\begin" not in source  # pandoc passes on what it cannot read
    assert typst.compile(source.encode()).startswith(b"%PDF")


@pytest.mark.parametrize("name", EXAMPLES)
def test_jupyter_gets_what_the_functions_give(name):
    thing = EXAMPLES[name]
    assert thing._repr_markdown_() == markdown(thing)
    assert repr(thing) == str(thing) == text(thing)


def test_the_equation_of_a_convolution_holds():
    shown = markdown(cross_correlate([[1, 2]], [[3]], bias=-1), steps=False)
    assert shown == (
        "Cross-correlation, kernel 1×1, stride 1:\n\n"
        r"$$\begin{pmatrix}1 & 2\end{pmatrix} \star \begin{pmatrix}3\end{pmatrix} + (-1) "
        r"= \begin{pmatrix}2 & 5\end{pmatrix}$$"
    )


def test_long_averages_are_shortened_in_latex_alone():
    window = EXAMPLES["wide average"].at(0, 0)
    assert markdown(window).count(" + ") == 11
    assert text(window).count(" + ") == 24


def test_matrices_too_long_for_a_page_show_their_ends():
    shown = markdown(cross_correlate(LARGE, [[1]]), steps=False)
    rows = shown.split(r"\begin{pmatrix}")[1].split(r"\end{pmatrix}")[0].split(r" \\ ")
    assert len(rows) == 12
    assert rows[-2] == r"\vdots"
    first = [str(c) for c in LARGE[1][:10]]
    assert rows[1].split(" & ") == [*first, r"\cdots", str(LARGE[1][-1])]


def test_long_sums_take_several_lines():
    ones = [[1] * 5] * 4
    assert markdown(cross_correlate(ones, ones).at(0, 0)).split("$$")[3] == (
        r"\begin{aligned}y_{1,1} &= "
        + " \\\\\n&\\quad + ".join(" + ".join([r"1 \cdot 1"] * n) for n in (9, 9, 2))
        + r" = 20\end{aligned}"
    )
