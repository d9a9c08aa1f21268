"""The energy of learning from one sample, layer by layer, from what each rule declares that it does (`Dataflow`).

With D connections of a layer (multiply-accumulates of one dense pass), T steps, and the forward pass itself on top:

    error      error_macs_dense D T          carrying the error below, where the layer transports one
    update     update_macs_dense D T         forming the change of the weights
               update_macs_weights W T       the same, where it is done once for each of the W weights
    events     update_adds_events (synops + spikes fan_in)        an addition for each pre- and post-synaptic event
    traces     trace_macs (N_pre + N) T
    broadcast  classes N                     the output error through a matrix, once a sample; at every step for an
                                             online rule; twice where the matrix learns; to N
                                             channels instead of neurons where they share it
    head       3 classes F                   a local readout of F averaged rates: forward, its gradient, its error
    similarity 3 N + 192 F                   F deviations in windows over N rates, compared with those of a batch of 64
                                             others, which is not known here: forward, and twice that backward
    neurons    4 N T multiplications, 2 N T additions       the error through the neurons' surrogate and leak
    write      W, under kp 2 W               the step that changes each weight; kp's feedback takes the same step

T is 1 for what is done `once_per_sample`, and for the update of a layer whose input is the same at every step, since
the errors of all steps can be added up first. So bp costs the forward pass, 2 D T and the neurons, which are the counts
of SpikingJelly's NeuroMC estimator, whose energies are those of its one 16-bit accelerator. Batch norm's own backward
pass is left out: a chip that learns has it folded.

Where the profile models memory, each of these multiply-accumulates reads one weight, an update's also reads and writes
the weight's accumulator, and `stores_T` writes and reads the potentials of all T steps. On a chip an update costs
`e_learning_update` and an error's operation `e_synop`; without the first figure the update is named as missing.
"""

from __future__ import annotations

from dataclasses import dataclass

from snn_nas.energy.activity import Activity, NodeActivity
from snn_nas.energy.inference import inference_energy
from snn_nas.energy.profile import Profile
from snn_nas.energy.result import Energy, Prices
from snn_nas.graph import Graph, Node, size

COMPARED = 64
"""Samples with which one is compared: those of a batch as `Training` has it unless told."""


@dataclass(frozen=True, slots=True)
class Work:
    """What one layer does, beyond the forward pass, to learn from one sample; multiply-accumulates unless said."""

    error: float = 0.0
    update: float = 0.0
    update_adds: float = 0.0
    traces: float = 0.0
    broadcast: float = 0.0
    head: float = 0.0
    similarity: float = 0.0
    neuron_mults: float = 0.0
    neuron_adds: float = 0.0
    writes: float = 0.0
    stored: float = 0.0  # words kept for a backward pass

    @property
    def macs(self) -> float:
        """All multiply-accumulates."""
        return self.error + self.update + self.traces + self.broadcast + self.head + self.similarity + self.writes


def work(graph: Graph, node: Node, done: NodeActivity) -> Work:
    """One layer's learning per sample, from its rule's declaration and its activity."""
    assert node.synapse is not None
    declaration = node.pair.declaration
    flow, synapse = declaration.dataflow, node.synapse
    if not declaration.learns:
        # It may still carry an error to the layers below.
        carries = float(done.connections * graph.T) if node.transport != "none" else 0.0
        return Work(error=carries, **(_neurons(graph, node) if carries else {}))
    source = graph[node.inputs[0]]
    steps = 1 if flow.once_per_sample else graph.T
    update_steps = 1 if source.name in graph.static else steps
    neurons, spikes = size(node.shape), sum(done.spikes)
    return Work(
        error=flow.error_macs_dense * done.connections * steps if node.transport != "none" else 0.0,
        update=flow.update_macs_dense * done.connections * update_steps
        + flow.update_macs_weights * synapse.weights * steps,
        update_adds=flow.update_adds_events * (sum(done.synops) + sum(done.macs) + spikes * synapse.fan_in),
        traces=flow.trace_macs * (size(source.shape) + neurons) * steps,
        broadcast=_broadcast(graph, node) if flow.broadcast else 0.0,
        head=3.0 * graph.classes * head_features(node) if flow.head else 0.0,
        similarity=_similarity(node) if flow.similarity else 0.0,
        **(_neurons(graph, node) if declaration.surrogate or node.transport != "none" else {}),
        writes=float(synapse.weights) * (2 if node.transport == "kp" else 1),
        stored=float(neurons * graph.T) if flow.stores_T else 0.0,
    )


def learning_energy(activity: Activity, graph: Graph, profile: Profile) -> Energy:
    """Energy of learning from one sample: its forward pass and what every layer's rule does.

    `graph` is the network's, whose unneeded transports are `none`.

    Raises:
        UserError: the profile has no figure for a synaptic operation.
    """
    forward = inference_energy(activity, graph, profile)
    prices = Prices.of(profile)
    pJ = {name: dict(causes) for name, causes in forward.pJ.items()}
    missing = list(forward.missing)
    learns = False
    for node in graph.layers:
        done = work(graph, node, activity[node.name])
        causes = pJ[node.name]
        if profile.chip:
            updates = done.update + done.update_adds
            learns = learns or updates > 0
            operations = (done.error + done.broadcast + done.head + done.similarity) * prices.mac
            operations += updates * (profile.e_learning_update or 0.0)
        else:
            operations = done.macs * prices.mac + (done.update_adds + done.neuron_adds) * prices.ac
            operations += done.neuron_mults * prices.mult
        causes["operations"] += operations
        if profile.memory:
            assert node.synapse is not None
            weight, state = profile.access(node.synapse.weights), profile.access(size(node.shape) * graph.T)
            reads = done.error + 3 * (done.update + done.update_adds) + 2 * done.writes
            extra = (done.broadcast + done.head) * profile.access(graph.classes * _told(node))
            held = 2 * (done.stored + done.traces) + done.similarity
            causes["memory"] += reads * weight + held * state + extra
    if learns and profile.e_learning_update is None:
        missing.append("learning updates")
    return Energy(profile.name, profile.kind, "learning", pJ, tuple(missing))


def _neurons(graph: Graph, node: Node) -> dict[str, float]:
    steps = 0 if node.neuron is None else size(node.shape) * graph.T
    return {"neuron_mults": 4.0 * steps, "neuron_adds": 2.0 * steps}


def _broadcast(graph: Graph, node: Node) -> float:
    """The error to all that it is for, at every step where the rule is online; once more where the matrix learns."""
    declaration = node.pair.declaration
    times = (graph.T if declaration.online else 1) * (2 if _feedback(node) == "learned" else 1)
    return float(graph.classes * _told(node) * times)


def _told(node: Node) -> int:
    """To how many targets the broadcast goes."""
    return node.shape[0] if _feedback(node) == "shared" else size(node.shape)


def _feedback(node: Node) -> object:
    assert node.rule is not None
    declared = node.pair.declaration.settings.get("feedback")
    return node.rule.values.get("feedback", declared.default if declared is not None else "random")


def _similarity(node: Node) -> float:
    """See `rules.predsim`: the deviations, where there are windows, and the comparisons."""
    features = similarity_features(node)
    return 3.0 * (size(node.shape) if features < size(node.shape) else 0) + 3.0 * COMPARED * features


def similarity_features(node: Node) -> int:
    """How many numbers of a sample are compared with other samples'; see `rules.predsim.summary`."""
    channels, *sides = node.shape
    windows = min(2, min(sides) // 2) if sides else 0
    return channels * windows**2 if windows else size(node.shape)


def head_features(node: Node) -> int:
    """Rates that a local head reads; see `rules.local`."""
    assert node.rule is not None
    channels, *sides = node.shape
    declared = node.pair.declaration.settings.get("pool")
    grid = int(node.rule.values.get("pool", declared.default if declared is not None else 1))
    for side in sides:
        channels *= min(grid, side)
    return channels
