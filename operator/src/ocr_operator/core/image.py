"""Image references: taking them apart, putting them together."""

from __future__ import annotations

from dataclasses import dataclass

from ocr_operator.api.v1alpha1 import ImageSpec

DIGEST_PREFIX = "sha256:"


@dataclass(frozen=True, slots=True)
class Image:
    """`repository:tag@digest`, tag and digest may be empty."""

    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def reference(self) -> str:
        """What the kubelet is given; a digest wins over a tag."""
        if self.digest:
            return f"{self.repository}@{self.digest}"
        return f"{self.repository}:{self.tag}" if self.tag else self.repository


def parse(reference: str) -> Image:
    """Take a reference apart; a colon before the last slash is a registry's port."""
    named, _, digest = reference.partition("@")
    head, colon, tag = named.rpartition(":")
    if not colon or "/" in tag:
        return Image(named, "", digest)
    return Image(head, tag, digest)


def merged(installed: str, wanted: ImageSpec | None) -> Image:
    """The installation's image with the fields a person set. A tag of their own drops the
    installation's digest, which would win over it and is another image."""
    image = parse(installed)
    if wanted is None:
        return image
    digest = wanted.digest or ("" if wanted.tag else image.digest)
    return Image(wanted.repository or image.repository, wanted.tag or image.tag, digest)


def digest_of(image_id: str) -> str:
    """Hex after `sha256:` in a Pod's imageID; the whole where there is none."""
    _, found, digest = image_id.rpartition(DIGEST_PREFIX)
    return digest if found else image_id
