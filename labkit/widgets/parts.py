"""What the widgets share: their style, a message, and what is shown or not."""

from html import escape
from typing import TYPE_CHECKING

from ipywidgets import HTML, Widget

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

# lines and colours that hold on a light and on a dark page; signs say the same without colour
STYLE = """<style>
.labkit-stepper .widget-label {width: 5.5em}
.labkit-stepper .widget-dropdown, .labkit-stepper .widget-text {width: 17em}
.labkit-stepper .widget-textarea {width: 16em; height: 9em}
.labkit-stepper .widget-textarea textarea {font-family: monospace}
.labkit-stepper .widget-slider {width: 26em}
.labkit-stepper .widget-readout {min-width: 3em; text-align: right}
.labkit-stepper .labkit-step {margin-top: .5em}
.labkit-answer .labkit-cell {width: 6em}
.labkit-answer .labkit-cell.labkit-words {width: 20em}
.labkit-answer .labkit-cell .widget-label {width: 1em; font-weight: bold}
.labkit-answer .labkit-marked input {box-shadow: inset 0 0 0 2px #d55e00}
.labkit-compare .widget-text, .labkit-compare .widget-select-multiple {width: 100%; max-width: 62em}
.labkit-compare .widget-text {max-width: 30em}
.labkit-compare .widget-select-multiple select {font-family: var(--jp-code-font-family, monospace)}
.labkit-figure {min-height: 235px}
.labkit-compare .labkit-figure {min-height: 300px}
.labkit-figure svg {background: white; max-width: 100%; height: auto}
.labkit-table {border-collapse: collapse; line-height: 1.4}
.labkit-table th, .labkit-table td {padding: .1em .8em; text-align: right; vertical-align: top;
  max-width: 22em; border-bottom: 1px solid rgba(128, 128, 128, .3)}
.labkit-table tbody th {text-align: left; font-weight: normal; white-space: nowrap}
.labkit-tables {max-height: 22em; overflow: auto}
.labkit-playground .widget-label {width: 9em}
.labkit-playground .widget-slider {width: 30em}
.labkit-playground .widget-toggle-buttons {display: flex; width: auto}
.labkit-playground .widget-toggle-buttons .widget-label {text-align: right; margin-right: .6em}
.labkit-playground .widget-toggle-button {width: auto; min-width: 4em}
.labkit-confusion .jupyter-button {font-variant-numeric: tabular-nums; min-width: 0;
  color: var(--jp-ui-font-color0, inherit)}
.labkit-confusion .labkit-none {color: var(--jp-ui-font-color3, inherit)}
.labkit-confusion .labkit-right {box-shadow: inset 0 0 0 1px currentColor}
.labkit-confusion .labkit-chosen, .labkit-confusion .jupyter-button:focus-visible {
  outline: 3px solid #d55e00; outline-offset: -1px}
.labkit-confusion .labkit-head span {writing-mode: vertical-rl; transform: rotate(180deg)}
.labkit-confusion .labkit-head {align-self: end; justify-self: center; padding-top: .5em}
.labkit-pictures {display: flex; flex-wrap: wrap; gap: .6em; min-height: 130px}
.labkit-pictures figure {margin: 0; text-align: center; line-height: 1.3}
.labkit-pictures img {height: 104px; image-rendering: pixelated}
.labkit-message {border-left: 4px solid currentColor; padding: .1em .7em; margin: .5em 0;
  line-height: 1.5}
.labkit-message p {margin: 0}
</style>"""


def message(sentence: str, hint: str = "") -> str:
    lines = "".join(f"<p>{escape(line)}</p>" for line in (sentence, hint) if line)
    return f'<div class="labkit-message" role="status">{lines}</div>'


def picture(figure: "Figure") -> str:
    """The figure as HTML that keeps its height while the next one is drawn."""
    from labkit.style import svg  # matplotlib takes its time

    return f'<div class="labkit-figure">{svg(figure)}</div>'


def table(cells: "DataFrame", *, index: bool = True) -> str:
    """The table as HTML, its row labels by choice; a long one is scrolled."""
    html = cells.to_html(border=0, classes="labkit-table", index=index)
    return f'<div class="labkit-tables">{html}</div>'


def set_visible(widget: Widget, visible: bool) -> None:
    widget.layout.display = None if visible else "none"


def style() -> HTML:
    style = HTML(STYLE)
    set_visible(style, False)  # it holds all the same, and takes no line
    return style
