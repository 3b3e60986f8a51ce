"""report.html: the summary on one page."""
