"""A service from its first reconcile on: what is written, and above all what is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from simulated import Simulated, cluster

from ocr_operator.core.observed import ChildKind


@pytest.fixture
def serving() -> Simulated:
    world = cluster()
    world.reconcile()
    world.start_pods()
    return world


def test_a_new_service_costs_four_writes_and_three_events() -> None:
    world = cluster()
    world.reconcile()
    assert world.condition("Ready")["reason"] == "Starting"
    world.start_pods()
    assert world.condition("Ready")["status"] == "True"
    assert world.writes == {"Deployment": 1, "Service": 1, "status": 2}
    assert [event.reason for event in world.events] == ["Created", "Created", "Ready"]
    print(world.service.status)
    print(world.events)
