"""Fixtures for every tier; what starts when is in tests/support/kube.py."""

from kube import cluster, control_plane

__all__ = ["cluster", "control_plane"]
