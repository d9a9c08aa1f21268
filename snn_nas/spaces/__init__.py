"""Search spaces: sets of genotypes with sampling, variation and an encoding for NNI."""

from snn_nas.spaces.registry import build, graph, spaces

__all__ = ["build", "graph", "spaces"]
