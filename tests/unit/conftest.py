"""Fixtures of the unit tier."""

from __future__ import annotations

from job_world import document, objects

__all__ = ["document", "objects"]
