"""Fault localisation methods: each in a file of its own, gathered in `registry`."""

from utils.methods.registry import METHODS as METHODS
