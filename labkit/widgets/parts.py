"""What the widgets share: their style, a message, and what is shown or not."""

from html import escape

from ipywidgets import HTML, Widget

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
.labkit-message {border-left: 4px solid currentColor; padding: .1em .7em; margin: .5em 0;
  line-height: 1.5}
.labkit-message p {margin: 0}
</style>"""


def message(sentence: str, hint: str = "") -> str:
    lines = "".join(f"<p>{escape(line)}</p>" for line in (sentence, hint) if line)
    return f'<div class="labkit-message" role="status">{lines}</div>'


def set_visible(widget: Widget, visible: bool) -> None:
    widget.layout.display = None if visible else "none"


def style() -> HTML:
    style = HTML(STYLE)
    set_visible(style, False)  # it holds all the same, and takes no line
    return style
