"""The hand calculation as a page that needs no installation: labkit.handcalc in the browser.

    questions ─→ pandoc ─┐
    handcalc, desk ─→ labkit.zip ─→ <site>/ ─→ any web server ─→ pyodide runs `desk`
    pyodide (npm) ───────┘

`build` writes the folder. `desk` and `formulas` run in the browser too, on the standard library
and labkit.handcalc alone; what can be Python stands there, and `site.js` only carries it about.
"""
