"""A confusion matrix of cells to click on, each of which shows the pictures behind it."""

import base64
import io
from html import escape
from typing import TYPE_CHECKING

from ipywidgets import (
    HTML,
    Button,
    ButtonStyle,
    Dropdown,
    GridBox,
    HBox,
    Label,
    Layout,
    VBox,
)

from labkit import progress
from labkit.widgets.parts import message, set_visible, style

if TYPE_CHECKING:  # torch takes its time, and the widgets of hand calculations do without
    from torch import Tensor

    from labkit.data import Dataset
    from labkit.training import Run

PAGE = 12  # pictures at a time
MOST_CLASSES = 20  # a matrix of more has too many cells to be looked at
SHADES = 10


def confusion(run: "Run", dataset: "Dataset") -> VBox:
    """A confusion matrix of cells to click on; each shows the test images behind its number.

    `run` is a finished run on images, `dataset` what it was trained on. A cell holds how many test
    images of the class of its row were taken for that of its column. Clicked, or chosen in the two
    fields below, it shows these images, twelve at a time, each with the probability (0 to 1) that
    the network gave to the class it chose; the surest first.

        confusion(runs["base"][0], load("cifar10"))

    In plain cells: `figures.confusion_matrix(run, dataset.classes)`, and
    `figures.wrong_predictions(run, dataset, pair=("cat", "dog"))`. The PDF leaves it out.
    ValueError where the run is of another data set.
    """
    return _Confusion(run, dataset)


class _Confusion(VBox):
    def __init__(self, run, dataset):
        trained_on = run.environment["data"]["name"]
        if "test_confusion" not in run.metrics or trained_on != dataset.name:
            raise ValueError(
                f"run {run.key} was trained on {trained_on!r}, the pictures are of "
                f"{dataset.name!r}; give the data set of the run"
            )
        if len(dataset.classes) > MOST_CLASSES:
            raise ValueError(
                f"{len(dataset.classes)} classes are too many for cells to click on; "
                "use labkit.figures.most_confused"
            )
        self.run, self.dataset = run, dataset
        self.counts: list[list[int]] = run.metrics["test_confusion"]
        self.shown: tuple[int, int] | None = None  # class, and what it was taken for
        self.page = 0
        # a hundred widgets, which take a tenth of a second where nobody looks at them
        self.cells = self._cells() if progress.in_notebook() else []
        names = [(name, place) for place, name in enumerate(dataset.classes)]
        self.true = Dropdown(options=names, value=None, description="class")
        self.taken = Dropdown(options=names, value=None, description="taken for")
        for field in (self.true, self.taken):
            field.observe(self._choose, "value")
        self.note = HTML()
        self.pictures = HTML()
        self.back = Button(description="Back")
        self.more = Button()
        self.back.on_click(lambda _: self._turn(-1))
        self.more.on_click(lambda _: self._turn(1))
        self.turning = HBox([self.back, self.more])
        set_visible(self.turning, False)
        fields = HBox([self.true, self.taken])
        views = (fields, self.note, self.pictures, self.turning)
        super().__init__([style(), *([self._grid()] if self.cells else []), *views])
        self.add_class("labkit-confusion")

    def _cells(self) -> list[list[Button]]:
        # one style for each shade and one layout for all: a third of the objects, and of the time
        shades = [
            ButtonStyle(button_color=f"rgba(0, 114, 178, {0.6 * shade / SHADES:.2f})")
            for shade in range(SHADES + 1)
        ]
        layout = Layout(width="auto", margin="0", padding="0")
        cells = []
        for true, row in enumerate(self.counts):
            cells.append([])
            for taken, count in enumerate(row):
                share = count / max(sum(row), 1)
                cell = Button(
                    description=str(count),
                    tooltip=f"{self._named(true, taken)}: {_images(count)}, {share:.0%}",
                    style=shades[round(SHADES * share)],
                    layout=layout,
                )
                cell.add_class("labkit-none" if not count else "labkit-count")
                if true == taken:
                    cell.add_class("labkit-right")
                cell.on_click(lambda _, place=(true, taken): self._show(place))
                cells[-1].append(cell)
        return cells

    def _grid(self) -> GridBox:
        classes = self.dataset.classes
        heads = [HTML(f"<span>{escape(name)}</span>") for name in classes]
        for head in heads:
            head.add_class("labkit-head")
        rows = [Label("class ↓   taken for →"), *heads]
        for name, cells in zip(classes, self.cells, strict=True):
            rows += [Label(name), *cells]
        columns = f"max-content repeat({len(classes)}, 3.2em)"
        return GridBox(rows, layout=Layout(grid_template_columns=columns, grid_gap="2px"))

    def _choose(self, change) -> None:
        if self.true.value is not None and self.taken.value is not None:
            self._show((self.true.value, self.taken.value))

    def _show(self, place: tuple[int, int]) -> None:
        """The first pictures of a cell."""
        if self.shown:
            self._cell(self.shown).remove_class("labkit-chosen")
        self.shown, self.page = place, 0
        self._cell(place).add_class("labkit-chosen")
        for field, value in zip((self.true, self.taken), place, strict=True):
            field.unobserve(self._choose, "value")
            field.value = value
            field.observe(self._choose, "value")
        self._draw()

    def _turn(self, pages: int) -> None:
        self.page += pages
        self._draw()

    def _draw(self) -> None:
        set_visible(self.turning, False)
        self.pictures.value = ""
        try:
            images, confidences = self._behind(*self.shown)
        except FileNotFoundError as error:  # committed before records had arrays
            self.note.value = message(str(error))
            return
        start = self.page * PAGE
        here = slice(start, start + PAGE)
        of = f", {start + 1} to {min(start + PAGE, len(images))}" if len(images) > PAGE else ""
        surest = "; the surest first" if len(images) > 1 else ""
        self.note.value = message(
            f"{self._named(*self.shown)}: {_images(len(images))}{of}"
            + (f". Below each the probability that it gave{surest}." if len(images) else ".")
        )
        self.pictures.value = _pictures(images[here], confidences[here])
        left = max(len(images) - start - PAGE, 0)
        self.back.disabled, self.more.disabled = self.page == 0, left == 0
        self.more.description = f"{min(left, PAGE)} more"
        set_visible(self.turning, len(images) > PAGE)

    def _behind(self, true: int, taken: int) -> tuple["Tensor", "Tensor"]:
        """The images (N, C, H, W) of a cell and their confidences (N,), the surest first."""
        predictions = self.run.arrays["test_predictions"].long()
        confidences = self.run.arrays["test_confidences"].float()
        test = self.dataset.test.first(len(predictions))
        behind = ((test.labels == true) & (predictions == taken)).nonzero()[:, 0]
        order = behind[confidences[behind].argsort(descending=True, stable=True)]
        return test.images[order], confidences[order]

    def _cell(self, place: tuple[int, int]) -> Button:
        return self.cells[place[0]][place[1]]

    def _named(self, true: int, taken: int) -> str:
        classes = self.dataset.classes
        if true == taken:
            return f"{classes[true]}, and taken for it"
        return f"{classes[true]}, taken for {classes[taken]}"

    def _repr_mimebundle_(self, **kwargs):
        plain = (
            "confusion: a matrix to click on in JupyterLab; in plain cells, "
            "figures.wrong_predictions(run, dataset, pair=(…, …))"
        )
        return {**super()._repr_mimebundle_(**kwargs), "text/plain": plain}


def _images(count: int) -> str:
    return f"{count:,} test image{'' if count == 1 else 's'}"


def _pictures(images: "Tensor", confidences: "Tensor") -> str:
    """Images (N, C, H, W) as HTML, the confidence (N,) below each."""
    figures = (
        f'<figure><img src="data:image/png;base64,{_png(image)}" alt="test image">'
        f"<figcaption>{confidence:.2f}</figcaption></figure>"
        for image, confidence in zip(images, confidences.tolist(), strict=True)
    )
    return f'<div class="labkit-pictures">{"".join(figures)}</div>'


def _png(image: "Tensor") -> str:
    """An image (C, H, W) of bytes, C 3 or 1, as PNG in base 64."""
    from PIL import Image

    buffer = io.BytesIO()
    pixels = image.expand(3, -1, -1).permute(1, 2, 0).contiguous()  # (H, W, 3)
    Image.fromarray(pixels.numpy()).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
