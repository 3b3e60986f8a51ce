"""One fold: rankings compared with a truth.

fold.py, users.py and *files.py run (tasks, files, logs); every other module calculates.
"""
