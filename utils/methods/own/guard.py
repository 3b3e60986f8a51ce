"""What a user's code may change for the whole process, put back as it was."""

import logging
import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from threadpoolctl import ThreadpoolController


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put back at the end: folder, variables, warnings, logging, seeds, types and threads."""
    known = [(put, read()) for read, put in STATES]
    libraries = ThreadpoolController().lib_controllers
    threads = [library.get_num_threads() for library in libraries]
    with warnings.catch_warnings(), np.errstate(), np.printoptions():
        try:
            yield
        finally:
            for library, count in zip(libraries, threads, strict=True):
                library.set_num_threads(count)
            for put, value in known:
                put(value)


def _put_environment(before: dict[str, str]) -> None:
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


def _logging() -> tuple[Any, ...]:
    root = logging.getLogger()
    return root.level, root.handlers[:], root.manager.disable


def _put_logging(before: tuple[Any, ...]) -> None:
    root = logging.getLogger()
    root.level, root.handlers[:], root.manager.disable = before


def _put_device(before: torch.device) -> None:
    if torch.get_default_device() != before:  # what is set stays on torch's stack of modes
        torch.set_default_device(before)


def _put_deterministic(before: bool) -> None:
    if torch.are_deterministic_algorithms_enabled() != before:  # to set it imports a compiler
        torch.use_deterministic_algorithms(before)


def _gpu_seeds() -> list[torch.Tensor]:
    return torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []


def _put_gpu_seeds(before: list[torch.Tensor]) -> None:
    if before:
        torch.cuda.set_rng_state_all(before)


# How each is read and put back.
STATES: tuple[tuple[Callable[[], Any], Callable[[Any], Any]], ...] = (
    (os.getcwd, os.chdir),
    (lambda: (sys.argv[:], sys.stdout, sys.stderr), lambda v: _put_streams(*v)),
    (_logging, _put_logging),
    (random.getstate, random.setstate),
    (np.random.get_state, np.random.set_state),
    (torch.get_rng_state, torch.set_rng_state),
    (_gpu_seeds, _put_gpu_seeds),
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_default_device, _put_device),
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    (torch.are_deterministic_algorithms_enabled, _put_deterministic),
    (torch.get_num_threads, torch.set_num_threads),
    (lambda: dict(os.environ), _put_environment),  # last: the others may set variables
)


def _put_streams(argv: list[str], stdout: Any, stderr: Any) -> None:
    sys.argv[:], sys.stdout, sys.stderr = argv, stdout, stderr
