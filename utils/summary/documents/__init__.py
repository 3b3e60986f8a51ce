"""Tables as people read them: the terminal, LaTeX, a workbook."""
