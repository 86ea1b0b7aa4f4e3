"""Where results, weights and caches are kept."""

from __future__ import annotations

from ocr_operator.api.fields import ApiModel
from ocr_operator.api.pod import LocalObjectReference
from ocr_operator.api.text import Bucket, Endpoint, KeyPrefix, ObjectName, Region


class S3Spec(ApiModel):
    """The bucket that results are stored in."""

    endpoint: Endpoint
    """URL of the S3 endpoint, http or https."""
    bucket: Bucket
    """Name of the bucket, which must exist."""
    prefix: KeyPrefix | None = None
    """What the key of every object begins with, such as `invoices/`. Default: nothing."""
    region: Region | None = None
    """Region that requests are signed for. Default: auto."""
    credentials_secret_ref: LocalObjectReference | None = None
    """Secret with the entries `access-key` and `secret-key`. Default: none is mounted."""


class ClaimReference(ApiModel):
    """A PersistentVolumeClaim."""

    claim_name: ObjectName
    """Name of a PersistentVolumeClaim in the namespace of the OcrService."""


class VolumeSpec(ApiModel):
    """Where files are kept."""

    persistent_volume_claim: ClaimReference
    """The claim that is mounted; pods of more than one node need one that many nodes may write."""
