"""One trial: a genotype built, trained and measured under one budget. It always ends as a typed result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from neurons.errors import UserError
from neurons.settings import Value, nearest
from snn_nas.genotype import Genotype
from snn_nas.search.result import Result

if TYPE_CHECKING:
    from snn_nas.data import Dataset, Entry
    from snn_nas.network import Network
    from snn_nas.training import Epoch

OnEpoch = Callable[[int, Mapping[str, float]], None]

CHANCE_FACTOR = 1.2
"""A network below this multiple of chance after an epoch is dead: it found every dead cell among 15,625."""


ROBUSTNESS = ("none", "noise", "pgd")


@dataclass(frozen=True)
class EvaluationSettings:
    """The budget of a trial and what is measured.

    Attributes:
        data: a data set's name.
        root: where its files lie; by default `SNN_NAS_DATA`.
        train: number of training images, balanced over the classes; by default all but the held-out ones.
        validation: number or share of the training data held out for the search; by default the data set's own.
        split_seed: decides which; the same for every trial of a search.
        profile: the energy profile.
        energy_images: on how many validation images activity is counted.
        robustness: `none`, or the cheap attack under which accuracy is measured too: `noise` or `pgd`.
        robustness_images: on how many validation images.
        device: `auto`, `cpu` or `cuda`.
        backend: of the populations.
        start: a trained network's file: layers that are unchanged start from its weights (`snn_nas/inheritance.py`).
        keep: a file for the trained weights.
        training: how long and how.
    """

    data: str = "digits"
    root: str | None = None
    train: int | None = None
    validation: int | float | None = None
    split_seed: int = 0
    profile: str = "45nm_fp32"
    energy_images: int = 100
    robustness: str = "none"
    robustness_images: int = 100
    device: str = "auto"
    backend: str = "auto"
    start: str | None = None
    keep: str | None = None
    training: Mapping[str, Value] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> EvaluationSettings:
        """From flat settings, the training's among them, as in a trial's command.

        Raises:
            UserError: an unknown setting, or one out of range.
        """
        own = {f.name for f in fields(cls)} - {"training"}
        settings = cls(
            **{key: value for key, value in given.items() if key in own},
            training={key: value for key, value in given.items() if key not in own},
        )
        settings.check()
        return settings

    def check(self) -> None:
        """Find every slip before anything is trained, and without reading data.

        Raises:
            UserError: an unknown setting, data set, profile, device or backend, or a value out of range.
        """
        from neurons.registry import BACKENDS
        from snn_nas.data import describe
        from snn_nas.energy.profile import profile
        from snn_nas.training_settings import SETTINGS, check

        own = [f.name for f in fields(self) if f.name != "training"]
        for name in ("data", "root", "profile", "robustness", "device", "backend", "start", "keep"):
            value = getattr(self, name)
            if not isinstance(value, str) and not (value is None and name in ("root", "start", "keep")):
                raise UserError(f"{name} is a word, not {value!r}")
        if type(self.split_seed) is not int or self.split_seed < 0:
            raise UserError(f"split_seed is a whole number, at least 0, not {self.split_seed!r}")
        if self.validation is not None and not (type(self.validation) in (int, float) and self.validation > 0):
            raise UserError(f"validation is a number or share of images above 0, not {self.validation!r}")
        for key in self.training:
            if key not in SETTINGS:
                raise UserError(f"there is no setting {key!r}{nearest(key, [*own, *SETTINGS])}")
        side, cutout = min(describe(self.data).shape[-2:]), int(check(self.training)["cutout"])
        if cutout >= side:
            raise UserError(f"cutout={cutout} would blank images whose shorter side has {side} pixels: take less")
        profile(self.profile)
        if self.device not in ("auto", "cpu", "cuda"):
            raise UserError(f"device is auto, cpu or cuda, not {self.device!r}")
        if self.backend not in BACKENDS:
            raise UserError(f"unknown backend {self.backend!r}{nearest(self.backend, BACKENDS)}")
        if self.robustness not in ROBUSTNESS:
            raise UserError(f"robustness is {', '.join(ROBUSTNESS)}, not {self.robustness!r}")
        for name in ("train", "energy_images", "robustness_images"):
            value = getattr(self, name)
            if (value is None and name != "train") or not (value is None or (type(value) is int and value >= 1)):
                raise UserError(f"{name} is a whole number of images, at least 1, not {value!r}")

    def split(self) -> dict[str, Any]:
        """What decides which images are held out: kept with the weights, so that nobody evaluates on training data."""
        return {"seed": self.split_seed, "validation": self.validation}

    def resolve_device(self) -> str:
        """`cpu` or `cuda`.

        Raises:
            UserError: a GPU was asked for and there is none.
        """
        import torch

        if self.device == "cuda" and not torch.cuda.is_available():
            raise UserError("device=cuda: torch finds no CUDA device here; use --device cpu or auto")
        if self.device == "auto":
            return "cuda" if torch.cuda.is_available() else "cpu"
        return self.device

    def load(self, genotype: Genotype | None = None, purpose: Literal["search", "train"] = "search") -> Dataset:
        """The data: for a search without its test split, and recordings cut into as many steps as the genotype has."""
        from snn_nas import data
        from snn_nas.data.dataset import EVENT_STEPS

        root = None if self.root is None else Path(self.root)
        T = None if genotype is None else genotype.settings.get("T")
        return data.load(
            self.data,
            root=root,
            train=self.train,
            validation=self.validation,
            seed=self.split_seed,
            purpose=purpose,
            steps=EVENT_STEPS if T is None else int(T),
        )


def check_encoding(encoding: str, entry: Entry) -> None:
    """Raise UserError where still images meet the code of recordings, or the other way round."""
    if (encoding == "events") != entry.events:
        kind, wanted = ("recordings", "events") if entry.events else ("still images", "direct")
        raise UserError(f"{entry.title} holds {kind}: encoding={encoding} cannot take them, encoding={wanted} does")


_loaded: dict[str, Dataset] = {}


def loaded(settings: EvaluationSettings, genotype: Genotype) -> Dataset:
    """`settings.load`, once a process for runs one after another; without the test split, which no such run may see."""
    key = repr((replace(settings, training={}, start=None, keep=None), genotype.settings.get("T")))
    if key not in _loaded:
        _loaded.clear()
        _loaded[key] = settings.load(genotype)
    return _loaded[key]


class Dead(Exception):  # noqa: N818  a way for a trial to end, no fault of ours
    """The network carries no information to its readout."""


def evaluate(
    genotype: Genotype,
    settings: EvaluationSettings,
    seed: int,
    on_epoch: OnEpoch | None = None,
    data: Dataset | None = None,
) -> Result:
    """Train under the budget and measure on validation data; the test split is out of reach.

    Same genotype, settings and seed give the same metrics, bit for bit on a CPU; where `start` names a parent's file,
    the same parent too, whose digest the result then has, and as the metric `inherited` the share of weights that came
    from it. A network that falls silent, saturates or stays at chance is `dead`; one whose loss is no number has
    `diverged`; both end after the first such epoch.

    Raises:
        UserError: the settings or the genotype are wrong.
        Hopeless: `on_epoch` raised it; it goes on with the parent's digest.
    """
    from snn_nas.inheritance import Start, keep
    from snn_nas.search.early_stop import Hopeless
    from snn_nas.training import Diverged

    data = data or settings.load(genotype)
    start = Start(settings.start)
    try:
        network, history = fit(genotype, settings, data, seed, on_epoch=on_epoch, start=start)
        metrics = {"accuracy": history[-1].accuracy, **measure(network, data, settings)}
    except Diverged as error:
        return Result(str(genotype), genotype.digest, "diverged", {}, str(error), seed, parent=start.parent)
    except Dead as error:
        return Result(str(genotype), genotype.digest, "dead", {}, str(error), seed, parent=start.parent)
    except Hopeless as error:
        error.parent = start.parent
        raise
    if start.parent:
        metrics["inherited"] = start.share
    if settings.keep is not None:
        keep(network, settings.keep)
    return Result(str(genotype), genotype.digest, "ok", metrics, "", seed, len(history), parent=start.parent)


def fit(
    genotype: Genotype,
    settings: EvaluationSettings,
    data: Dataset,
    seed: int,
    *,
    on_epoch: OnEpoch | None = None,
    patient: bool = False,
    checkpoint: Path | None = None,
    tensorboard: Path | None = None,
    start: Callable[[Network], None] | None = None,
) -> tuple[Network, list[Epoch]]:
    """Build and train; a `patient` one goes on where a trial would be called dead.

    With a `checkpoint`, a file, a run that was killed goes on after its last whole epoch. `tensorboard` is a folder for
    curves. `start` is called with the network as it was drawn, before anything is learned.

    Raises:
        Dead, Diverged: the trial is over.
        UserError: the settings or the genotype are wrong, or the checkpoint is damaged or of another run.
    """
    import torch

    from snn_nas import network as networks
    from snn_nas.checkpoint import Checkpoint
    from snn_nas.training import Training, train

    device = settings.resolve_device()
    torch.manual_seed(seed)
    network = networks.build(genotype, data.shape, data.classes, normalise=data.normalise, backend=settings.backend)
    if start is not None:
        start(network)

    def after(epoch: Epoch) -> None:
        try:
            if on_epoch is not None:
                on_epoch(epoch.number, {"accuracy": epoch.accuracy, "loss": epoch.loss})
        finally:  # whoever listens may end the trial as hopeless: a network at chance is dead all the same
            if not patient and epoch.accuracy <= CHANCE_FACTOR / data.classes:
                why = _silence(network, data)
                raise Dead(f"accuracy {epoch.accuracy:.3f} after epoch {epoch.number} is chance: {why}")

    training = Training(**settings.training)  # type: ignore[arg-type]
    run = {
        "genotype": str(genotype),
        "data": f"{data.name}, {len(data.train)} and {len(data.validation)} images",
        "split": settings.split(),
        "seed": seed,
        **asdict(training),
        # a rule that is edited meanwhile: a checkpoint would bring back the rates of before
        "optimisers": [asdict(layer.optimiser) for layer in network],
    }
    kept = None if checkpoint is None else Checkpoint(checkpoint, run)
    history = train(
        network, data, training, seed=seed, on_epoch=after, device=device, checkpoint=kept, tensorboard=tensorboard
    )
    return network, history


def measure(network: Network, data: Dataset, settings: EvaluationSettings) -> dict[str, float]:
    """Everything but accuracy, counted on the first validation images: stratified splits are not sorted by class."""
    from snn_nas.energy.objectives import measure as costs

    device = next(network.parameters()).device
    found = costs(network, data.validation, settings.profile, samples=settings.energy_images, device=device)
    if settings.robustness != "none":
        from snn_nas.robustness.cheap import cheap

        found["robustness"] = cheap(network, data.validation, settings.robustness, settings.robustness_images, device)
    return found


def _silence(network: Network, data: Dataset) -> str:
    """Name the layer that carries nothing."""
    import torch

    rates: dict[str, float] = {}
    hooks = [
        layer.register_forward_hook(lambda _m, _i, out, name=name: rates.__setitem__(name, float(out.mean())))
        for name, layer in network.layers.items()
        if layer.population is not None
    ]
    network.eval()
    with torch.no_grad():
        network(next(data.validation.batches(100, device=next(network.parameters()).device))[0])
    for hook in hooks:
        hook.remove()
    for name, rate in rates.items():
        if rate < 1e-5:
            return f"{name} is silent"
        if rate > 1 - 1e-3:
            return f"{name} is saturated"
    return "every layer fires, but the readout tells no classes apart"
