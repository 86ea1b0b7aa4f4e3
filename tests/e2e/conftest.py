"""The fixtures live in tests/support, because the benches use them too."""

from e2e_fixtures import claim, images, room, s3, tiny_weights, world

__all__ = ["claim", "images", "room", "s3", "tiny_weights", "world"]
