"""The verbs of evidence: hold predictions against measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from tokenmill.interface.cli import text

__all__ = ["register"]

_File = Annotated[Path, typer.Argument(help=text.OPTION["measurements"])]
_Out = Annotated[
    Optional[Path],  # noqa: UP045 - typer reads the old spelling on every Python it supports
    typer.Option("--json", help=text.OPTION["score_json"], show_default=False),
]
_Subjects = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Argument(help=text.OPTION["subjects"], show_default=False),
]
_Shared = Annotated[Path, typer.Option("--shared", help=text.OPTION["shared"])]
_Folder = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--out", help=text.OPTION["fit_out"], show_default=False),
]


def _said(key: str, *names: str) -> Any:
    return typer.Option(*names, help=text.OPTION[key], show_default=False)


def register(app: typer.Typer) -> None:
    """Add the verbs to an app."""
    app.command("score", help=text.SCORE)(score)
    app.command("fit", help=text.FIT)(fit)
    app.command("calibrate", help=text.CALIBRATE)(calibrate)


def score(file: _File, json: _Out = None) -> None:
    """Score predictions against measurements."""
    from tokenmill.evidence.score import score_file, write_json
    from tokenmill.interface.cli import evidence_view, view

    result = score_file(file)
    if json == Path("-"):
        view.print_json(result.to_list())
        return
    if json is not None:
        write_json(result, json)
    evidence_view.show_score(result)


def fit(
    subjects: _Subjects = None, shared: _Shared = Path("../shared"), out: _Folder = None
) -> None:
    """Fit calibration files on measurements."""
    from tokenmill.evidence.fitting import fit as run
    from tokenmill.evidence.fitting import folder_for

    for line in run(subjects or [], shared, folder_for(out)):
        typer.echo(line)


def calibrate(
    files: Annotated[list[Path], typer.Argument(help=text.OPTION["results"])],
    save: Annotated[Optional[Path], _said("save", "--save")] = None,  # noqa: UP045
    on: Annotated[str, _said("calibrate_on", "--on")] = "",
    model: Annotated[str, _said("calibrate_model", "--model")] = "",
    engine: Annotated[str, _said("calibrate_engine", "--engine")] = "",
    version: Annotated[str, _said("engine_version", "--engine-version")] = "",
    weights: Annotated[str, _said("weights", "--weights")] = "",
    gpus: Annotated[Optional[int], _said("calibrate_gpus", "--gpus")] = None,  # noqa: UP045
    tp: Annotated[Optional[int], _said("tp", "--tp")] = None,  # noqa: UP045
    json: Annotated[bool, _said("json", "--json")] = False,
) -> None:
    """Fit the scales of a cluster on its own measurements."""
    from tokenmill.evidence.cluster.results import calibrate_files
    from tokenmill.interface.cli import evidence_view

    found = calibrate_files(
        *files, save=save, on=on, model=model, engine=engine, engine_version=version,
        weights=weights, gpus=gpus, tp=tp,
    )  # fmt: skip
    evidence_view.show_calibrated(found, json=json)
