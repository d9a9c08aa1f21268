"""Search spaces: sets of genotypes with sampling, variation and an encoding for NNI."""

from snn_nas.spaces.registry import auxiliary, build, canonical, graph, spaces

__all__ = ["auxiliary", "build", "canonical", "graph", "spaces"]
