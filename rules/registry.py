"""The table of learning rules and transports. Free of torch, so that tuners and `--help` read it in milliseconds.

A rule is a pair, update / transport. The declaration says what the *update* needs and which transports it may be
paired with; it is checked by the credit check, shown by `snn-nas rules`, searched over by the spaces and costed by the
energy estimator. The implementation is imported when a network is built.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, get_args

from neurons.errors import UserError
from neurons.settings import Setting, nearest

if TYPE_CHECKING:
    from rules.rule import Rule

Error = Literal["none", "local", "broadcast", "transported"]
Transport = Literal["none", "exact", "fa", "usf", "brsf", "frsf", "kp"]
Norms = Literal["error", "rule", "fixed"]
"""What trains a norm's scale and shift: the error that arrives, which trains the neurons' parameters too; the rule
itself; or nothing."""

TRANSPORTS: Mapping[str, str] = {
    "none": "sends no error to the layers below",
    "exact": "the transposed weights: back-propagation",
    "fa": "a fixed random matrix B (Lillicrap et al. 2016)",
    "usf": "sqrt(2 / (fan_in + fan_out)) * sign(W): uniform sign-concordant (Liao et al. 2016)",
    "brsf": "M * sign(W), M >= 0 redrawn every batch (Liao et al. 2016)",
    "frsf": "M * sign(W), M >= 0 fixed (Liao et al. 2016)",
    "kp": "B that receives the increments and the decay of W (Kolen-Pollack; Akrout et al. 2019)",
}
CARRIERS = tuple(TRANSPORTS)
"""Every transport, `none` first."""

MOST_FORGOTTEN = 0.01
"""The largest share of its weights that a layer forgets in one step. Were it more, in trainings of few steps, the
running statistics of norms would not keep up, and deep layers would be silent when they are measured."""


@dataclass(frozen=True, slots=True)
class Optimiser:
    """How a rule's weights step.

    `adamw` and `sgd` are torch's. `step` is `w += weight.grad * -lr` without momentum or scaling, for rules whose
    update is no gradient: Adam would turn it into its sign.

    `adamw` forgets its weights over `horizon` of the training: the decay takes `1 / (horizon x steps)` of them in a
    step at the declared rate, and as the rate falls so does that. Weights are then a moving average of their updates,
    whose length in passes over the data is what generalises (Wang and Aitchison 2024, arXiv 2405.13698). Under a norm,
    which makes their scale irrelevant, a layer learns by the ratio of its step to its weights, and without decay the
    weights grow and learning ends early (Kosson et al. 2023, arXiv 2305.17212). None: nothing is forgotten.

    With `inputs`, `lr` is for neurons with so many, or more. A step of Adam changes every weight by about the rate, and
    so the current of a neuron by about the rate times its inputs: one with fewer takes a larger rate, in inverse
    proportion, 32 times at most (Yang et al. 2021, Tensor Programs V: the last layer under Adam).
    """

    kind: Literal["adamw", "sgd", "step"] = "adamw"
    lr: float = 2e-3
    horizon: float | None = None
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    inputs: int | None = None

    def __post_init__(self) -> None:
        """Raise UserError for a horizon that would not be one: only AdamW's decay is apart from its step."""
        if self.horizon is not None and self.kind != "adamw":
            raise UserError(f"a horizon is adamw's: an optimiser of kind {self.kind} has none")

    def of(self, fan_in: int) -> Optimiser:
        """For neurons with so many inputs."""
        if self.inputs is None:
            return self
        return replace(self, lr=self.lr * min(max(self.inputs / fan_in, 1.0), 32.0), inputs=None)

    def to_align(self) -> Optimiser:
        """For weights that learn from randomly fed back errors: what forgets does so over the whole training.

        To turn towards a fixed matrix takes time.
        """
        return self if self.horizon is None else replace(self, horizon=1.0)

    def decay(self, steps: int, factor: float = 1.0) -> float:
        """The weight decay of a training of so many steps, at `factor` times the declared rate."""
        if self.horizon is None:
            return 0.0
        return min(factor / (self.horizon * max(steps, 1)), MOST_FORGOTTEN) / (factor * self.lr)


ADAMW = Optimiser(horizon=0.2)
"""Of every layer that a norm follows and a gradient trains; see `Optimiser.to_align` for what is fed back at random."""


@dataclass(frozen=True, slots=True)
class Dataflow:
    """What learning reads, writes and multiplies: the source of a rule's learning energy.

    Counts are per synapse (`_dense`), per synaptic event (`_events`) or per neuron (`trace`), and per time step unless
    `once_per_sample`. `stores_T` says whether activations of all T steps are kept for a backward pass.
    """

    error_macs_dense: float = 0.0  # carrying the error to the layer below, per synapse
    update_macs_dense: float = 0.0  # forming the weights' change, per synapse
    update_macs_weights: float = 0.0  # the same where it is done once per weight, not at every position
    update_adds_events: float = 0.0  # additions per synaptic event, pre- and post-synaptic
    trace_macs: float = 0.0  # per pre- and post-synaptic neuron
    broadcast: bool = False  # n_classes x n_neurons MACs, once per sample
    head: bool = False  # a local readout, forward and backward
    similarity: bool = False  # rates compared with those of the batch's other samples, forward and backward
    stores_T: bool = False  # noqa: N815
    once_per_sample: bool = False


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a rule's update is, needs and costs."""

    name: str
    summary: str
    source: str
    implementation: str  # "module:Class"
    update: str
    error: Error
    transports: tuple[str, ...] = ("none",)  # the first is the default
    surrogate: bool = False
    online: bool = False  # can learn step by step, with memory that does not grow with T
    norms: Norms = "fixed"
    order: Literal["joint", "layerwise"] = "joint"
    optimiser: Optimiser = ADAMW
    dataflow: Dataflow = field(default_factory=Dataflow)
    settings: Mapping[str, Setting] = field(default_factory=dict)
    colour: str = "#888888"
    readout: bool = False  # may train the readout, and nothing else

    def __post_init__(self) -> None:
        """Raise UserError for a slip that the credit check, the spaces and the energy estimator would believe."""
        where = f"the declaration of rule {self.name!r}"
        values = {"error": get_args(Error), "norms": get_args(Norms), "order": ("joint", "layerwise")}
        for key, known in values.items():
            if getattr(self, key) not in known:
                raise UserError(f"{where}: {key} is one of {', '.join(known)}, not {getattr(self, key)!r}")
        if not str(self.name).isidentifier() or not all(part for part in self.implementation.partition(":")):
            raise UserError(f"{where}: a name is one word, and an implementation is written module:Class")
        if not isinstance(self.transports, tuple) or not {*self.transports} <= {*TRANSPORTS} or not self.transports:
            raise UserError(f"{where}: transports are some of {', '.join(TRANSPORTS)}, not {self.transports!r}")
        for name, setting in self.settings.items():
            setting.check(setting.default, f"{where}: the default of {name}")

    @property
    def learns(self) -> bool:
        """Whether the weights ever change."""
        return self.update != "frozen"


_RULES: dict[str, Declaration] = {}

_COMPETITION = {
    "conscience": Setting(0.02, 0.0, 10.0, help="how fast frequent winners are handicapped"),
    "decorrelate": Setting(0.3, 0.0, 1e3, help="ridge of the inverse input covariance; 0 leaves inputs as they are"),
}

_STDP = {
    "tau": Setting(2.0, 1.0, 1e3, help="time constant of both traces, in time steps"),
    "a_minus": Setting(0.2, 0.0, 10.0, help="depression of a late input, relative to potentiation"),
    "form": Setting("additive", choices=("additive", "multiplicative"), help="whether weights bound it"),
}

SHORT: dict[str, tuple[str, str]] = {
    "bp": ("gradient", "exact"),
    **{name: ("gradient", name) for name in ("fa", "usf", "brsf", "frsf", "kp")},
}
"""Short names of pairs: `frsf` is `gradient~frsf`. `gradient` alone is `gradient~none`."""

TRANSPORT_COLOURS = {
    "exact": "#4d4d4d",
    "fa": "#a6cee3",
    "usf": "#1f78b4",
    "brsf": "#33a02c",
    "frsf": "#6a51a3",
    "kp": "#17becf",
    "none": "#9e9ac8",
}


def register(declaration: Declaration) -> Declaration:
    """Add a rule. A second rule of the same name is a programming error."""
    if declaration.name in _RULES or declaration.name in SHORT:
        raise ValueError(f"a rule named {declaration.name!r} is registered already")
    _RULES[declaration.name] = declaration
    return declaration


def rules() -> Mapping[str, Declaration]:
    """Every registered update, by name."""
    return _RULES


def names() -> list[str]:
    """Every name that a genotype may give as a rule: the short names of pairs, then the updates."""
    return [*SHORT, *_RULES]


@dataclass(frozen=True, slots=True)
class Pair:
    """A resolved rule: an update's declaration and a transport."""

    declaration: Declaration
    transport: str

    @property
    def name(self) -> str:
        """The shortest name: `frsf`, `dfa`, or `delta~usf` where no short one exists."""
        pair = (self.declaration.name, self.transport)
        for short, known in SHORT.items():
            if known == pair:
                return short
        return pair[0] if self.transport == "none" else "~".join(pair)

    @property
    def optimiser(self) -> Optimiser:
        """How the weights step: as the update declares; with the decay that the transport needs."""
        declared = self.declaration.optimiser
        if self.transport == "kp":  # B follows W by what W forgets
            return replace(declared, horizon=declared.horizon or ADAMW.horizon)
        return declared.to_align() if self.transport == "fa" else declared

    @property
    def colour(self) -> str:
        """The colour in which every picture draws it."""
        if self.declaration.name == "gradient":
            return TRANSPORT_COLOURS[self.transport]
        return self.declaration.colour


def pair(name: str, transport: str | None = None) -> Pair:
    """Resolve `frsf`, `stdp`, or `delta` with a transport.

    Raises:
        UserError: an unknown rule or transport, or a transport that the rule cannot be paired with.
    """
    if (short := name) in SHORT:
        name, default = SHORT[name]
        if transport is not None and transport != default:
            raise UserError(f"rule {short!r} names its transport already; write gradient~{transport}")
        transport = default
    if name not in _RULES:
        raise UserError(f"unknown rule {name!r}{nearest(name, names())}")
    declaration = _RULES[name]
    transport = declaration.transports[0] if transport is None else transport
    if transport not in TRANSPORTS:
        raise UserError(f"unknown transport {transport!r}{nearest(transport, TRANSPORTS)}")
    if transport not in declaration.transports:
        raise UserError(
            f"rule {name!r} cannot transport an error by {transport!r}; it takes {', '.join(declaration.transports)}"
        )
    return Pair(declaration, transport)


def implementation(declaration: Declaration) -> type[Rule]:
    """Import the class that implements a rule."""
    module, _, name = declaration.implementation.partition(":")
    cls: type[Rule] = getattr(importlib.import_module(module), name)
    return cls


# ---------------------------------------------------------------------------------------------------------------------
# The rules that the library holds. One file a family, one entry each.

register(
    Declaration(
        name="gradient",
        summary="the gradient of whatever error arrives from above",
        source="Neftci et al. 2019, surrogate gradients through time",
        implementation="rules.gradient:Gradient",
        update="gradient",
        error="transported",
        transports=CARRIERS,
        surrogate=True,
        norms="error",
        dataflow=Dataflow(error_macs_dense=1.0, update_macs_dense=1.0, stores_T=True),
        colour="#9e9ac8",
    )
)


def _feedback(default: str) -> Setting:
    says = "whether B stays as drawn for each neuron, or for each channel (shared), or learns as a readout does"
    return Setting(default, choices=("random", "shared", "learned"), help=says)


register(
    Declaration(
        name="dfa",
        summary="the output error through a fixed random matrix, straight to this layer",
        source="Nøkland 2016, direct feedback alignment; learned feedback, Webster, Choi and Ahn 2021",
        implementation="rules.broadcast:DirectFeedback",
        update="gradient",
        error="broadcast",
        surrogate=True,
        norms="error",
        dataflow=Dataflow(update_macs_dense=1.0, broadcast=True, stores_T=True),
        settings={"feedback": _feedback("random")},
        colour="#e31a1c",
    )
)
register(
    Declaration(
        name="local",
        summary="the loss of a small readout on this layer's own spikes",
        source="Nøkland and Eidnes 2019; DECOLLE, Kaiser et al. 2020",
        implementation="rules.local:LocalLoss",
        update="gradient",
        error="local",
        surrogate=True,
        norms="error",
        dataflow=Dataflow(update_macs_dense=1.0, head=True, stores_T=True),
        settings={"pool": Setting(8, 1, 32, help="side of the grid to which spikes are averaged before the head")},
        colour="#ff7f00",
    )
)
register(
    Declaration(
        name="predsim",
        summary="local, and alike rates for samples of one class, unlike ones for others",
        source="Nøkland and Eidnes 2019, prediction and similarity matching",
        implementation="rules.predsim:PredictionAndSimilarity",
        update="gradient",
        error="local",
        surrogate=True,
        norms="error",
        dataflow=Dataflow(update_macs_dense=1.0, head=True, similarity=True, stores_T=True),
        settings={
            "pool": Setting(8, 1, 32, help="side of the grid to which spikes are averaged before the head"),
            "similarity": Setting(0.9, 0.01, 0.99, help="share of the loss that is of samples' similarity"),
        },
        colour="#9b2fe0",
    )
)
register(
    Declaration(
        name="stdp",
        summary="spike-timing-dependent plasticity with competition, normalisation and homeostasis",
        source="Kheradpisheh et al. 2018; winner-take-all with conscience",
        implementation="rules.stdp:STDP",
        update="stdp",
        error="none",
        order="layerwise",
        optimiser=Optimiser(kind="step", lr=0.05, schedule="linear"),
        dataflow=Dataflow(update_adds_events=1.0, trace_macs=2.0),
        settings={
            **_STDP,
            **_COMPETITION,
        },
        colour="#b15928",
    )
)
register(
    Declaration(
        name="softhebb",
        summary="soft winner-take-all Hebbian learning with anti-Hebbian losers",
        source="Journé et al. 2023; Moraitis et al. 2022",
        implementation="rules.softhebb:SoftHebb",
        update="softhebb",
        error="none",
        order="layerwise",
        optimiser=Optimiser(kind="step", lr=0.05, schedule="linear"),
        dataflow=Dataflow(update_macs_dense=1.0, trace_macs=1.0, once_per_sample=True),
        settings={
            "temperature": Setting(0.2, 1e-3, 1e3, help="of the softmax; towards 0 the winner takes all"),
            **_COMPETITION,
        },
        colour="#f781bf",
    )
)
register(
    Declaration(
        name="rstdp",
        summary="STDP times reward: a neuron that wins for the sample's class is rewarded, another one punished",
        source="Mozafari et al. 2019; competition, normalisation and homeostasis as in stdp",
        implementation="rules.rstdp:RSTDP",
        update="rstdp",
        error="broadcast",
        order="layerwise",
        optimiser=Optimiser(kind="step", lr=0.05, schedule="linear"),
        dataflow=Dataflow(update_adds_events=1.0, trace_macs=2.0),
        settings={
            **_STDP,
            "punishment": Setting(0.1, 0.0, 10.0, help="of a wrong decision, relative to the reward of a right one"),
            **_COMPETITION,
        },
        colour="#bcbd22",
    )
)
register(
    Declaration(
        name="hippo",
        summary="behavioural-time-scale plasticity: a plateau rewrites synapses active within seconds of it",
        source="Milstein et al. 2021; Bittner et al. 2017; the name is our reading of a summary's word",
        implementation="rules.hippo:Hippo",
        update="hippo",
        error="broadcast",
        order="layerwise",
        optimiser=Optimiser(kind="step", lr=1.0, schedule="linear"),
        # a step of the default length is five of integration: trace, overlap, two gains and two terms in each
        dataflow=Dataflow(update_macs_weights=30.0, trace_macs=1.0),
        settings={
            "ms": Setting(1000.0, 1.0, 1e5, help="milliseconds that a time step stands for"),
            "plateau": Setting("target", choices=("target", "reward", "novelty"), help="what sets off a plateau"),
            **_COMPETITION,
        },
        colour="#01665e",
    )
)
register(
    Declaration(
        name="drtp",
        summary="the target through a fixed random matrix, straight to this layer",
        source="Frenkel, Lefebvre and Bol 2021, direct random target projection",
        implementation="rules.broadcast:TargetProjection",
        update="gradient",
        error="broadcast",
        surrogate=True,
        norms="error",
        dataflow=Dataflow(update_macs_dense=1.0, broadcast=True, stores_T=True),
        colour="#fb9a99",
    )
)
register(
    Declaration(
        name="eprop",
        summary="an eligibility trace at the synapse times an error broadcast at every step",
        source="Bellec et al. 2020, adaptive and random e-prop",
        implementation="rules.eprop:EProp",
        update="eprop",
        error="broadcast",
        surrogate=True,
        online=True,
        norms="rule",
        dataflow=Dataflow(update_macs_dense=1.0, trace_macs=1.0, broadcast=True),
        settings={"feedback": _feedback("learned")},
        colour="#b2df8a",
    )
)
register(
    Declaration(
        name="ottt",
        summary="the error of each step, through space only, times the trace of the input",
        source="Xiao et al. 2022, online training through time",
        implementation="rules.ottt:OTTT",
        update="ottt",
        error="transported",
        transports=CARRIERS,
        surrogate=True,
        online=True,
        norms="error",
        dataflow=Dataflow(error_macs_dense=1.0, update_macs_dense=1.0, trace_macs=1.0),
        colour="#e7298a",
    )
)
register(
    Declaration(
        name="frozen",
        summary="the weights stay as they were drawn: the control that other rules are held against",
        source="control",
        implementation="rules.frozen:Frozen",
        update="frozen",
        error="none",
        transports=tuple(name for name in CARRIERS if name != "kp"),  # nothing is added to W, so B would not learn
        online=True,
        colour="#bdbdbd",
    )
)
register(
    Declaration(
        name="delta",
        summary="the readout: its own loss's gradient",
        source="Widrow and Hoff 1960",
        implementation="rules.gradient:Delta",
        update="gradient",
        error="local",
        transports=CARRIERS,
        online=True,
        norms="error",
        optimiser=Optimiser(inputs=8192),
        dataflow=Dataflow(update_macs_dense=1.0, error_macs_dense=1.0, once_per_sample=True),
        colour="#fdbf6f",
        readout=True,
    )
)
