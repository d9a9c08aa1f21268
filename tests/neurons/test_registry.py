from __future__ import annotations

import pytest

from neurons import encodings, population, registry
from neurons.errors import UserError
from neurons.settings import resolve


@pytest.mark.parametrize("name", registry.POPULATIONS)
def test_every_population_declares_itself_and_can_be_built(name: str) -> None:
    declared = registry.declaration(name)
    assert declared.name == name
    assert all((declared.summary, declared.equation, declared.source, declared.settings))
    assert all(setting.help for setting in declared.settings.values())
    p = population.build(name, resolve({}, declared.settings, name))
    assert p.settings == {key: setting.default for key, setting in declared.settings.items()}
    for key, setting in declared.settings.items():
        for value in setting.choices:
            population.build(name, {key: value})


@pytest.mark.parametrize("name", registry.ENCODINGS)
def test_every_encoding_declares_itself_and_can_be_built(name: str) -> None:
    declared = registry.encoding(name)
    assert declared.name == name
    assert all((declared.summary, declared.equation, declared.source))
    assert all(setting.help for setting in declared.settings.values())
    assert encodings.build(name, steps=2).out_channels(3) == 3 * declared.channel_factor


def test_an_unknown_name_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(UserError, match="no population 'plf'; did you mean 'plif'"):
        registry.declaration("plf")
