"""Kernel constants: fitted on kernel tables, cross-validated by accelerator, written as files."""

from __future__ import annotations

from tokenmill.evidence.kernels.files import write_kernels
from tokenmill.evidence.kernels.fit import fit_kernels

__all__ = ["fit_kernels", "write_kernels"]
