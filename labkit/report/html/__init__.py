"""Executed notebooks as one static HTML page."""

from labkit.report.html.page import write_html

__all__ = ["write_html"]
