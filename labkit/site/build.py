"""The page's folder: the questions as HTML, labkit's own modules, and Python for the browser."""

import base64
import hashlib
import io
import re
import tempfile
import zipfile
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

import labkit
from labkit import handcalc, project
from labkit.handcalc.exercises import KINDS, LEVELS
from labkit.handcalc.forms import OPERATIONS
from labkit.handcalc.questions import QUESTIONS
from labkit.report.folder import write_folder
from labkit.report.html import page
from labkit.report.html.sanitised import escape
from labkit.report.html.snippets import Snippet, convert
from labkit.site import desk, pyodide
from labkit.site.formulas import apart

HERE = Path(__file__).parent
CONTENTS = ".labkit-site"  # the folder's files with their checksums
IN_THE_BROWSER = (
    *("__init__.py", "handcalc/*.py"),
    *("site/__init__.py", "site/desk.py", "site/formulas.py"),
)

PARTS = {"stepper": "Stepper", "exercises": "Exercises", "sheet": "Your answers"}

# the calculation that the stepper begins with: question 1a of TDT4265
BEGINNING = {
    "image": "2 1 2 3 1\n3 9 1 1 4\n4 5 0 7 0",
    "kernel": "-1 0 1\n-2 0 2\n-1 0 1",
    "window": "2",
    "stride": "1",
    "padding": "1",
    "dilation": "1",
}


def write_site(out: Path) -> Path:
    """Write the page and all that it needs into the folder `out`; returns its index.html.

    Any web server serves it, from any address; nothing is loaded from elsewhere. `out` is new,
    empty or an earlier site that nobody has changed, which is replaced whole or not at all.
    Raises UsageError if it holds anything else, and LabkitError where pyodide cannot be had.
    """
    out = out.resolve()
    files = {
        "index.html": _index().encode(),
        "report.css": page.STYLE.read_bytes(),
        "report.js": page.script().encode(),
        "site.css": (HERE / "site.css").read_bytes(),
        "site.js": (HERE / "site.js").read_bytes(),
        "labkit.zip": _archive(),
    }
    files |= {f"pyodide/{name}": content for name, content in pyodide.files().items()}
    write_folder(out, files, kind="site", contents=CONTENTS)
    return out / "index.html"


def _archive() -> bytes:
    """labkit's modules that run in the browser, as they are; the same bytes every time."""
    package = Path(labkit.__file__).parent
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for pattern in IN_THE_BROWSER:
            for path in sorted(package.glob(pattern)):
                name = f"labkit/{path.relative_to(package).as_posix()}"
                dateless = zipfile.ZipInfo(name)
                archive.writestr(dateless, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return content.getvalue()


def _index() -> str:
    settings = project.read_yaml(project.root() / "params" / "report.yaml")
    parts, contents = [], []
    for course, tasks in groupby(QUESTIONS.values(), lambda task: task.name.partition("/")[0]):
        title = escape(settings["courses"].get(course, course))
        tasks = list(tasks)
        parts.append(f'<section id="{course}"><h2>{title}</h2>')
        parts += map(desk.article, tasks, _questions(tasks))
        parts.append("</section>")
        names = "".join(f'<li><a href="#{it.name}">{it.name}</a></li>' for it in tasks)
        contents.append(f'<li><a href="#{course}">{title}</a><ol>{names}</ol></li>')
    parts += [_stepper(), _exercises(), SHEET]
    for id, title in PARTS.items():
        contents.append(f'<li><a href="#{id}">{title}</a></li>')
    # a step of a calculation brings its own style with it
    step = handcalc.html(handcalc.max_pool([[1]], 1), at=(0, 0))
    style = re.search(r"<style>(.*?)</style>", step, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; "
        f"style-src 'self' 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    return PAGE.format(
        policy=policy,
        language=escape(settings.get("language", "en")),
        contents="".join(contents),
        body="\n".join(parts),
        version=version("labkit"),
        pyodide=pyodide.VERSION,
    )


def _questions(tasks) -> list[str]:
    """The wordings in HTML with MathML."""
    wordings = [apart(task.question) for task in tasks]
    snippets = [Snippet("markdown", wording, plain=escape(wording)) for wording in wordings]
    with tempfile.TemporaryDirectory() as folder:
        convert(snippets, Path(folder) / "kept.json")
    return [snippet.html() for snippet in snippets]


def _stepper() -> str:
    operations = "".join(f"<option>{escape(name)}</option>" for name in OPERATIONS)
    short = "".join(
        f'<label{" hidden" * (name == "window")}>{name}<input name="{name}" '
        f'value="{BEGINNING[name]}" autocomplete="off"></label>'
        for name in ("window", "stride", "padding", "dilation")
    )
    long = "".join(
        f'<label class="wide">{name}<textarea name="{name}" rows="5" spellcheck="false">'
        f"{BEGINNING[name]}</textarea></label>"
        for name in ("image", "kernel")
    )
    return (
        '<section id="stepper"><h2>Stepper</h2>'
        "<p>A convolution or pooling of your own, window by window. A row of a matrix per line; "
        "an empty line between channels.</p>"
        f'<form autocomplete="off"><div class="fields">{long}'
        f'<label class="wide">operation<select name="operation">{operations}</select></label>'
        f"{short}</div>"
        '<div class="way"><input type="range" min="1" max="1" value="1" aria-label="step" '
        "disabled><output></output></div></form>"
        '<div class="verdict" role="status"></div><div class="step"></div></section>'
    )


def _exercises() -> str:
    kinds = "".join(f"<option>{escape(name)}</option>" for name in KINDS)
    levels = "".join(f"<option>{level}</option>" for level in LEVELS)
    return (
        '<section id="exercises"><h2>Exercises</h2>'
        "<p>The same seed gives the same exercises, here and with <code>labkit exercise</code>.</p>"
        '<form autocomplete="off"><div class="fields">'
        f'<label>kind<select name="kind">{kinds}</select></label>'
        f'<label>level<select name="level">{levels}</select></label>'
        '<label>seed<input name="seed" value="0" inputmode="numeric"></label>'
        '<label>number<input name="count" value="3" inputmode="numeric"></label></div>'
        '<p class="buttons"><button type="submit">Draw</button></p>'
        '<div class="verdict" role="status"></div></form><div id="drawn"></div></section>'
    )


SHEET = """<section id="sheet"><h2>Your answers</h2>
<p>This browser keeps them until you remove them. As a sheet they can be handed in, checked with
<code>labkit check answers.yaml</code>, and loaded here again.</p>
<p class="buttons"><button type="button" id="sheet-save">Download answers.yaml</button>
<button type="button" id="sheet-load">Load a sheet</button>
<button type="button" id="sheet-clear">Remove all answers</button>
<input type="file" id="sheet-file" accept=".yaml,.yml" aria-label="Answer sheet" hidden></p>
<div class="verdict" role="status"></div></section>"""

PAGE = """<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>Hand calculation</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="report.css">
<link rel="stylesheet" href="site.css">
<script src="report.js"></script>
<script src="site.js" defer></script>
</head>
<body>
<a class="skip" href="#text">Skip to the text</a>
<aside>
<div class="tools">
<search><label class="hidden" for="search">Search the questions</label>
<input id="search" type="search" placeholder="Search  /" autocomplete="off">
<output id="hits" for="search"></output></search>
<button id="theme" type="button" aria-label="Dark or light" title="Dark or light">◐</button>
</div>
<details id="contents" open><summary>Contents</summary>
<nav aria-label="Contents"><ol>{contents}</ol></nav></details>
</aside>
<main id="text" tabindex="-1">
<header><h1>Hand calculation</h1>
<p class="subtitle">The courses’ questions, checked while you work: where an answer is wrong, the
mistake that leads to it is named.</p>
<p id="status" role="status">The questions can be read as they are. To have answers checked, serve
this folder by a web server (run <code>python3 -m http.server</code> in it and open
http://localhost:8000) and allow JavaScript.</p></header>
{body}
<footer>labkit {version}, in Python that runs in the browser: Pyodide {pyodide} (MPL 2.0).</footer>
</main>
</body>
</html>
"""
