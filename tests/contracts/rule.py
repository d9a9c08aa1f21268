"""What every learning rule owes. Inherit `LearningRuleContract`, parametrise it with a `pair`, and get the tests:

@pytest.mark.parametrize("pair", [pair("mine")], ids=str)
class TestMine(LearningRuleContract): ...
"""

from __future__ import annotations

import re

import pytest
import torch

from neurons.errors import UserError
from rules.registry import TRANSPORTS, Pair, implementation
from rules.registry import pair as resolve
from rules.rule import Rule
from tests.contracts.bench import SYNAPSES, Bench, labels, spikes

everywhere = pytest.mark.parametrize(("kind", "T"), [(kind, T) for kind in SYNAPSES for T in (1, 4)])


class LearningRuleContract:
    def bench(self, pair: Pair, kind: str = "dense", T: int = 4, **options: object) -> Bench:
        """A bench for the rule; the readout is always linear."""
        return Bench(pair, "linear" if pair.declaration.readout else kind, T, **options)  # type: ignore[arg-type]

    # -- the declaration ---------------------------------------------------------------------------------------------

    def test_declares_itself(self, pair: Pair) -> None:
        declaration = pair.declaration
        assert issubclass(implementation(declaration), Rule)
        assert declaration.summary
        assert declaration.source
        assert set(declaration.transports) <= set(TRANSPORTS)
        assert re.fullmatch("#[0-9a-f]{6}", pair.colour)
        assert resolve(*pair.name.partition("~")[::2] if "~" in pair.name else (pair.name,)) == pair
        for name, setting in declaration.settings.items():
            assert setting.check(setting.default, name) == setting.default

    def test_settings_are_checked(self, pair: Pair) -> None:
        with pytest.raises(UserError, match="no setting 'nonsense'"):
            self.bench(pair, settings={"nonsense": 1})
        for name, setting in pair.declaration.settings.items():
            for bad in (setting.low, setting.high):
                if bad is not None:
                    step = 1 if bad == setting.high else -1
                    with pytest.raises(UserError, match=name):
                        self.bench(pair, settings={name: type(setting.default)(bad + step)})

    # -- what it needs -----------------------------------------------------------------------------------------------

    def test_labels_matter_only_where_an_error_is_declared(self, pair: Pair) -> None:
        one, other = (self.bench(pair).learn(3, labels_seed=seed) for seed in (0, 50))
        assert torch.equal(one, other) == (pair.declaration.error == "none")

    def test_only_a_transported_error_comes_from_above(self, pair: Pair) -> None:
        found = []
        for above in (True, False):
            bench = self.bench(pair)
            bench.gradients(spikes(bench.kind, 4), labels(), above=above)
            found.append(bench.weight.grad)
        needs = pair.declaration.error == "transported" or pair.declaration.readout
        if found[0] is None:
            assert found[1] is None
            assert not pair.declaration.learns
        else:
            assert (found[1] is None or not torch.equal(*found)) == needs  # type: ignore[arg-type]

    def test_the_surrogate_matters_only_where_it_is_declared(self, pair: Pair) -> None:
        if pair.declaration.readout:
            return
        one, other = (self.bench(pair, neuron_settings={"surrogate": name}).learn(2) for name in ("atan", "rectangle"))
        assert torch.equal(one, other) != pair.declaration.surrogate

    def test_norms_learn_only_where_it_is_declared(self, pair: Pair) -> None:
        bench = self.bench(pair, neuron="plif") if not pair.declaration.readout else self.bench(pair)
        bench.gradients(spikes(bench.kind, 4), labels())
        trained = {"error": (True, True), "rule": (True, False), "fixed": (False, False)}[pair.declaration.norms]
        for module, learns in zip((bench.layer.norm, bench.layer.population), trained, strict=True):
            parameters = list(module.parameters()) if module is not None else []
            assert all((p.grad is not None) == p.requires_grad == learns for p in parameters)
            assert parameters or pair.declaration.readout or (module is bench.layer.norm and not learns)

    def test_an_error_goes_down_only_by_a_transport(self, pair: Pair) -> None:
        bench = self.bench(pair)
        down = bench.gradients(spikes(bench.kind, 4), labels())
        if pair.transport == "none":
            assert down is None
        else:
            assert down is not None
            assert down.abs().sum() > 0

    def test_feedback_is_no_parameter(self, pair: Pair) -> None:
        layer = self.bench(pair).layer
        assert not list(layer.transport.parameters())
        assert bool(list(layer.rule.parameters())) == pair.declaration.dataflow.head

    # -- how it learns -----------------------------------------------------------------------------------------------

    @everywhere
    def test_learns_finitely_or_never(self, pair: Pair, kind: str, T: int) -> None:
        bench = self.bench(pair, kind, T)
        before = bench.weight.detach().clone()
        after = bench.learn(2)
        assert after.isfinite().all()
        assert torch.equal(before, after) != pair.declaration.learns

    @everywhere
    def test_the_order_of_a_batch_is_nothing(self, pair: Pair, kind: str, T: int) -> None:
        found = []
        for order in (torch.arange(6), torch.tensor([3, 1, 5, 0, 2, 4])):
            bench = self.bench(pair, kind, T)
            bench.gradients(spikes(bench.kind, T)[:, order], labels()[order])
            found.append(bench.weight.grad)
        if pair.declaration.learns:
            torch.testing.assert_close(*found)

    @everywhere
    def test_a_static_input_is_learned_from(self, pair: Pair, kind: str, T: int) -> None:
        bench = self.bench(pair, kind, T)
        before = bench.weight.detach().clone()
        bench.gradients(torch.randn_like(spikes(bench.kind, 1)[0]), labels(), static=True)
        bench.step()
        assert bench.weight.isfinite().all()
        assert torch.equal(before, bench.weight) != pair.declaration.learns

    @pytest.mark.parametrize("level", [0.0, 1.0])
    def test_silence_and_saturation_are_survived(self, pair: Pair, level: float) -> None:
        bench = self.bench(pair)
        bench.gradients(torch.full_like(spikes(bench.kind, 4), level), labels())
        bench.step()
        assert all(p.isfinite().all() for p in bench.layer.state_dict().values())

    def test_is_deterministic(self, pair: Pair) -> None:
        one, other = (self.bench(pair, seed=3).learn(3) for _ in range(2))
        assert torch.equal(one, other)

    def test_evaluation_never_learns(self, pair: Pair) -> None:
        bench = self.bench(pair)
        bench.learn(1)
        bench.layer.eval()
        before = {name: value.clone() for name, value in bench.layer.state_dict().items()}
        bench.layer(spikes(bench.kind, 4))
        assert bench.layer.record is None
        assert all(torch.equal(before[name], value) for name, value in bench.layer.state_dict().items())

    def test_nothing_of_a_batch_is_kept_after_its_step(self, pair: Pair) -> None:
        bench = self.bench(pair)
        bench.learn(1)
        assert bench.layer.record is None

    def test_a_resumed_run_equals_an_unresumed_one(self, pair: Pair) -> None:
        bench = self.bench(pair)
        bench.learn(2)
        saved = {name: value.clone() for name, value in bench.layer.state_dict().items()}
        torch.manual_seed(7)
        straight = bench.learn(2, start=2)
        resumed = self.bench(pair, seed=5)
        resumed.above = bench.above
        resumed.layer.load_state_dict(saved)
        torch.manual_seed(7)
        assert torch.equal(resumed.learn(2, start=2), straight)
        for name, value in resumed.layer.state_dict().items():
            assert torch.equal(value, bench.layer.state_dict()[name]), name
