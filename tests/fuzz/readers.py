"""The readers of what others wrote, each with files that are good and a way to spoil them."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from pathlib import Path

from tests import REPOSITORY
from tests.fuzz import mutate

TEXTS = (
    "chain(T=2) { conv(c=3,down=avg)@frsf/plif; sepconv(c=3,skip=1)@kp/lif(tau=3.0); readout@delta~usf }",
    "chain(T=2,encoding=onoff) { conv(c=2)@local/if; linear(c=4)@stdp/lif(reset=hard); readout(grid=2)@delta }",
    "nb201(T=2,cells=1,channels=2,stages=2) stem{ conv@frsf/lif } cell{ conv3@usf/lif[0>1]; avg[1>3]; skip[0>3] } "
    "reduce{ conv@usf/lif } readout{ readout(grid=1)@delta~usf }",
)
WORDS = (
    "chain", "nb201", "darts", "conv", "sepconv", "linear", "readout", "delta", "usf", "stdp", "local", "dfa", "bp",
    "lif", "alif", "plif", "c", "k", "T", "tau", "down", "max", "skip", "cells", "channels", "stages", "encoding",
    "events", "whiten", "genotype", "shape", "classes", "normalise", "mean", "std", "format", "name", "kind", "memory",
    "measured", "e_mac", "bits", "tuner", "classArgs", "space", "strategy", "rules", "objectives", "trialCommand",
    "maxTrialNumber", "__class__", "../..",
)  # fmt: skip


class Reader(ABC):
    """A reader may return, or raise a UserError; nothing else."""

    suffix: str = ".txt"

    def __init__(self, folder: Path) -> None:
        """Make good files in `folder`."""
        self.folder = folder
        self.good = self.seeds()

    @abstractmethod
    def seeds(self) -> list[bytes]:
        """Files that can be read."""

    def spoil(self, rng: random.Random, path: Path) -> None:
        """Write a case."""
        content = rng.choice(self.good)
        if rng.random() < 0.25:
            path.write_bytes(mutate.damaged(rng, content))
        else:
            text = mutate.rewritten(rng, content.decode(), WORDS)
            path.write_bytes(text.encode("utf-8", "replace"))

    @abstractmethod
    def read(self, path: Path) -> None:
        """What is tried."""


class GenotypeText(Reader):
    """The grammar, and all that is worked out of a genotype before anything is built."""

    def seeds(self) -> list[bytes]:
        return [text.encode() for text in TEXTS]

    def read(self, path: Path) -> None:
        from snn_nas.cli.files import read_genotype
        from snn_nas.credit import check
        from snn_nas.genotype import parse
        from snn_nas.spaces import canonical, graph

        genotype = read_genotype(str(path))
        assert parse(str(genotype)) == genotype
        check(graph(genotype, (2, 12, 12), 10))
        canonical(genotype, (2, 12, 12), 10)


class Nir(Reader):
    """HDF5 with a graph in it."""

    suffix = ".nir"

    def seeds(self) -> list[bytes]:
        import torch

        from snn_nas import network
        from snn_nas.export.nir_export import save_nir
        from snn_nas.genotype import parse

        torch.manual_seed(0)
        path = self.folder / "good.nir"
        found = []
        for text in TEXTS[:1] + TEXTS[2:]:
            save_nir(network.build(parse(text), (2, 8, 8), 4), path)
            found.append(path.read_bytes())
        return found

    def spoil(self, rng: random.Random, path: Path) -> None:
        path.write_bytes(rng.choice(self.good))
        mutate.hdf5(rng, path)

    def read(self, path: Path) -> None:
        from snn_nas.export.nir_import import load_nir

        load_nir(path)


class Weights(Reader):
    """safetensors with a network's description in its header."""

    suffix = ".safetensors"

    def seeds(self) -> list[bytes]:
        import torch

        from snn_nas import network
        from snn_nas.data.dataset import Normalise
        from snn_nas.export.weights import save
        from snn_nas.genotype import parse

        torch.manual_seed(0)
        path = self.folder / "good.safetensors"
        found = []
        for text in TEXTS:
            normalise = Normalise((0.5, 0.5), (0.2, 0.2))
            net = network.build(parse(text), (2, 8, 8), 4, normalise=normalise)
            net.encoding.fit(torch.rand(8, 2, 8, 8))
            save(net.eval(), path, dataset="digits", class_names=("a", "b"))
            found.append(path.read_bytes())
        return found

    def spoil(self, rng: random.Random, path: Path) -> None:
        path.write_bytes(mutate.safetensors(rng, rng.choice(self.good), WORDS))

    def read(self, path: Path) -> None:
        from snn_nas.export.weights import load

        load(path, backend="plain")


class ProfileYaml(Reader):
    """An energy profile of a user's own."""

    suffix = ".yml"

    def seeds(self) -> list[bytes]:
        from snn_nas.energy import profile

        shipped = Path(profile.__file__).parent / "profiles"
        return [(shipped / f"{name}.yml").read_bytes() for name in ("lemaire", "loihi", "45nm_fp32")]

    def read(self, path: Path) -> None:
        from snn_nas.energy.profile import profile

        found = profile(path)
        if found.memory:
            assert found.access(1e6) >= 0


class ExperimentYaml(Reader):
    """The configuration of a search."""

    suffix = ".yml"

    def seeds(self) -> list[bytes]:
        experiments = REPOSITORY / "experiments"
        text = (experiments / "quickstart.yml").read_text(encoding="utf-8")
        return [text.replace("searchSpaceFile: ", f"searchSpaceFile: {experiments}/").encode()]

    def read(self, path: Path) -> None:
        from snn_nas.cli.configuration import read

        read(path)


READERS: dict[str, type[Reader]] = {
    "genotype": GenotypeText,
    "nir": Nir,
    "weights": Weights,
    "profile": ProfileYaml,
    "experiment": ExperimentYaml,
}
