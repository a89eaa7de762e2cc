"""Working through the courses in JupyterLab: its start page, and notebooks for other places."""
