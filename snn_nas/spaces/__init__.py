"""Search spaces: sets of genotypes with sampling, variation and an encoding for NNI."""

from snn_nas.spaces.registry import build, canonical, graph, spaces

__all__ = ["build", "canonical", "graph", "spaces"]
