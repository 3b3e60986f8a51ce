"""The folds put together: tables, tests, figures, one page.

A module that is called by a verb (read.., write, save, summarise, refresh) reads
files, writes them, and decides what is made anew; every other one calculates.
"""
