"""Kernel constants: fitted on kernel tables, cross-validated by accelerator, written as files."""

from __future__ import annotations

from tokenmill.evidence.kernels.command import fit, kernel_chips, kernel_rows, shipped_constants
from tokenmill.evidence.kernels.files import read_kernels, write_kernels
from tokenmill.evidence.kernels.review import KernelRow, review, validate

__all__ = [
    "KernelRow", "fit", "kernel_chips", "kernel_rows", "read_kernels", "review",
    "shipped_constants", "validate", "write_kernels",
]  # fmt: skip
