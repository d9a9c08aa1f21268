"""What each process of a test under torchrun does: trains by every rule in turn; the first one writes what came out."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import torch

from neurons.errors import UserError
from snn_nas import data as data_sets
from snn_nas import distributed
from snn_nas import network as networks
from snn_nas.checkpoint import Checkpoint
from snn_nas.genotype import parse
from snn_nas.training import Epoch, Training, train

LAYERS = "conv(c=6,down=avg)@{first}/lif(threshold=0.5); conv(c=6)@{second}/{neuron}"
CHAIN = f"chain(T=2,encoding={{encoding}}){{{{{LAYERS}; readout(grid=2)@delta~{{up}}}}}}"
DARTS = (
    "darts(T=2,cells=4,channels=2,reductions=1,stack=1) stem{ conv@usf/lif } "
    "normal{ pre0@usf/lif; pre1@usf/lif; skip[0>2]; dil3@usf/lif[1>2] } "
    "reduce{ pre0@usf/lif; pre1@usf/lif; avg[0>2]; dil3@usf/lif[1>2] } readout{ readout@delta~usf }"
)


def chain(first: str, second: str, up: str, neuron: str = "lif(threshold=0.5)", encoding: str = "direct") -> str:
    return CHAIN.format(first=first, second=second, up=up, neuron=neuron, encoding=encoding)


GENOTYPES = {
    "bp": chain("bp", "bp", "exact", "plif"),
    "kp": chain("kp", "kp", "kp"),
    "brsf": chain("brsf", "brsf", "brsf"),
    "dfa": chain("dfa", "drtp", "none"),
    "local": chain("stdp", "local", "none"),
    "predsim": chain("predsim", "predsim", "none"),
    "softhebb": chain("softhebb", "softhebb", "none", encoding="whiten"),
    "rstdp": chain("rstdp", "rstdp", "none"),
    "hippo": chain("hippo", "hippo(plateau=novelty)", "none"),
    "eprop": chain("eprop", "eprop", "none"),
    "learned": chain("dfa(feedback=learned)", "eprop(feedback=random)", "none"),
    "ottt": chain("ottt~usf", "ottt~usf", "usf"),
    "mixed": chain("stdp", "eprop", "usf"),
    "darts": DARTS,
}


def run(name: str, folder: Path, *, kill: bool = False, drop_path: float = 0.0) -> dict[str, torch.Tensor]:
    def on_epoch(_: Epoch) -> None:
        if kill:
            raise KeyboardInterrupt

    data = data_sets.load("digits", train=104, validation=50)
    torch.manual_seed(0)
    network = networks.build(parse(GENOTYPES[name]), data.shape, data.classes)
    more = {"mixup": 0.4, "augment": True, "ema": 0.9, "auxiliary": 0.4, "recompute": name == "bp"}
    more = {**(more if name in ("bp", "darts") else {}), "drop_path": drop_path}
    training = Training(epochs=2, batch_size=32, warmup=0.2, lr=0.3, **more)
    kept = Checkpoint(folder / f"{name}.checkpoint", {"name": name})
    history = train(network, data, training, seed=0, on_epoch=on_epoch, checkpoint=kept)
    state = {key: value.double() for key, value in network.state_dict().items()}
    return {
        **state,
        "loss": torch.tensor([e.loss for e in history]),
        "right": torch.tensor([e.accuracy for e in history]),
    }


def main(folder: Path) -> None:
    distributed.join("cpu")
    torch.set_num_threads(1)
    found = {name: run(name, folder) for name in GENOTYPES}
    with suppress(KeyboardInterrupt):
        run("brsf", folder / "killed", kill=True)
    with distributed.in_turn():  # the others did not wait for the first one's checkpoint before they were killed
        pass
    found["resumed"] = run("brsf", folder / "killed")
    try:
        run("brsf", folder / ("killed" if distributed.first() else "nowhere"))
    except UserError as error:
        found["apart"] = {"told": torch.tensor("processes find different ones" in str(error))}
    found["dropped"] = run("darts", folder / "dropped", drop_path=0.6)
    torch.save(found, folder / f"rank{distributed.rank()}.pt")
    distributed.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
