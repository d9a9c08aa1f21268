"""The gradient of the error that arrives from above, and the readout's delta rule.

    dL/dW_l = dL/da_l x_l^T,   dL/da_l = f'(a_l) * (what the layers above transport)

f' is the neurons' surrogate, run through time (Neftci et al. 2019). With exact transport everywhere this is
back-propagation. The error enters at the loss, so neither rule adds a root.
"""

from __future__ import annotations

from rules.rule import Rule


class Gradient(Rule):
    """Learns from a transported error."""


class Delta(Rule):
    """The readout learns from its own loss, with no layer in between (Widrow and Hoff 1960)."""
