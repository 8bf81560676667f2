"""Kernel constants: fitted on kernel tables, cross-validated by accelerator, written as files."""

from __future__ import annotations

from tokenmill.evidence.kernels.files import read_kernels, write_kernels
from tokenmill.evidence.kernels.fit import fit_kernels, review

__all__ = ["fit_kernels", "read_kernels", "review", "write_kernels"]
