"""The benches run on the e2e tier's cluster."""

from e2e_fixtures import images, room, s3, tiny_weights, world
from kube import cluster

__all__ = ["cluster", "images", "room", "s3", "tiny_weights", "world"]
