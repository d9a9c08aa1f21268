"""What a user names on the command line, read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from neurons.errors import UserError
from snn_nas.genotype import MAX_TEXT, Genotype, parse

if TYPE_CHECKING:
    from snn_nas.data import Dataset


def read_genotype(word: str) -> Genotype:
    """A genotype from its text, or from a file that holds it.

    Raises:
        UserError: no such file, or no genotype.
    """
    if "{" in word:
        return parse(word)
    if not word.strip():
        raise UserError("the genotype is empty: give its text or a file that holds one")
    path = Path(word)
    try:
        with path.open(encoding="utf-8") as file:
            return parse(file.read(MAX_TEXT + 1).strip())
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UserError(f"{word}: {reason}; give a genotype's text or a file that holds one") from error


def model_file(path: Path) -> Path:
    """The weights of a model that is named by its file, or by the folder into which `train` or `search` wrote it.

    Raises:
        UserError: the folder holds no model.
    """
    if not path.is_dir():
        return path
    from snn_nas.conclusion import WEIGHTS

    for found in (path / WEIGHTS, path / "winner" / WEIGHTS):
        if found.is_file():
            return found
    raise UserError(f"{path} holds no {WEIGHTS}; name the folder that `snn-nas train --out` or a search wrote")


def data_of(
    header: dict[str, Any], name: str | None, root: Path | None, purpose: Literal["search", "train"] = "search"
) -> Dataset:
    """The data that a saved network is for, held out as in its training, or another set of the same kind.

    Raises:
        UserError: images of another shape or number of classes, or missing data.
    """
    from snn_nas.evaluation import EvaluationSettings

    split = header.get("split") or {}
    settings = EvaluationSettings(
        data=name or header["dataset"],
        root=None if root is None else str(root),
        validation=split.get("validation"),
        split_seed=split.get("seed", 0),
    )
    data = settings.load(parse(header["genotype"]), purpose)
    found, wanted = (*data.shape, data.classes), (*header["shape"], header["classes"])
    if found != wanted:
        raise UserError(
            f"{data.title} has images {data.shape} in {data.classes} classes; "
            f"the network is for {tuple(header['shape'])} in {header['classes']}"
        )
    return data
