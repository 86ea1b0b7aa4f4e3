"""The benches run on the e2e tier's cluster."""

from e2e_fixtures import images, room, s3, tiny_weights, world

__all__ = ["images", "room", "s3", "tiny_weights", "world"]
