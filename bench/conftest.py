"""The benches run on the e2e tier's cluster."""

from e2e_fixtures import claim, images, room, s3, tiny_weights, world
from kube import cluster

__all__ = ["claim", "cluster", "images", "room", "s3", "tiny_weights", "world"]
