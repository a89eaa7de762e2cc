"""Working through the courses in JupyterLab: its start page, and notebooks for other places."""

from labkit.lab.start_page import start_page

__all__ = ["start_page"]
