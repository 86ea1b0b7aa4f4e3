"""Fixtures for every tier, and how tests are shared out between processes (`pytest -n`)."""

from __future__ import annotations

import signal

import pytest
from kube import cluster, control_plane
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

__all__ = ["cluster", "control_plane"]

# Where the tests are run in a shell's background SIGINT is ignored, by what they start too.
signal.signal(signal.SIGINT, signal.default_int_handler)


class OneCluster(LoadScopeScheduling):
    """A file is one process' work, and so is the whole e2e tier: it has one cluster."""

    def _split_scope(self, nodeid: str) -> str:
        return "e2e" if nodeid.startswith("tests/e2e/") else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> OneCluster:
    return OneCluster(config, log)
