"""What a user names on the command line, read."""

from __future__ import annotations

from pathlib import Path

from neurons.errors import UserError
from snn_nas.genotype import MAX_TEXT, Genotype, parse


def read_genotype(word: str) -> Genotype:
    """A genotype from its text, or from a file that holds it.

    Raises:
        UserError: no such file, or no genotype.
    """
    if "{" in word:
        return parse(word)
    path = Path(word)
    try:
        with path.open(encoding="utf-8") as file:
            return parse(file.read(MAX_TEXT + 1).strip())
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UserError(f"{word}: {reason}; give a genotype's text or a file that holds one") from error
