"""When the world is between two states: what a moment later is written once is not written twice.

A pod's readiness, its startup document and the Deployment's count arrive as separate events within
a second or so. The status waits for all of them, and a new service costs two writes of it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from ocr_operator.core.measure import (
    DOCUMENT_WAIT_SECONDS,
    TIMESTAMP_SECONDS,
    awaited_until,
)
from ocr_operator.core.observed import PodView
from ocr_operator.core.situation import Situation
from ocr_operator.startup.sample import DocumentState

COUNT_SECONDS = TIMESTAMP_SECONDS + DOCUMENT_WAIT_SECONDS
"""What the Deployment's controller may take to count a pod that is ready."""
PROBE_MARGIN_SECONDS = 5.0
"""What a loaded server may take to become ready beyond the period of its startup probe."""
LONGEST_SKEW_SECONDS = 5.0
"""A node's clock may be so far ahead; what would be waited for longer is not waited for at all."""


def settled_at(situation: Situation) -> datetime | None:
    """Until when the status is held back; None when there is nothing to wait for."""
    waits = [
        (moment, longest)
        for pod in situation.pods
        for moment, longest in (
            (_until_ready(situation, pod), _readiness_seconds(pod)),
            (awaited_until(situation.observed, pod), COUNT_SECONDS),
            (_until_counted(situation, pod), COUNT_SECONDS),
        )
    ]
    return max(
        (
            moment
            for moment, longest in waits
            if moment is not None and _ahead(moment, situation.now, longest)
        ),
        default=None,
    )


def _ahead(moment: datetime, now: datetime, longest: float) -> bool:
    return now < moment <= now + timedelta(seconds=longest + LONGEST_SKEW_SECONDS)


def _readiness_seconds(pod: PodView) -> float:
    return pod.startup_period_seconds + PROBE_MARGIN_SECONDS


def _until_ready(situation: Situation, pod: PodView) -> datetime | None:
    """The document says ready, the kubelet does not yet."""
    document = situation.document(pod)
    if pod.ready or pod.started_at is None or document is None:
        return None
    if document.state is not DocumentState.READY or document.init_seconds is None:
        return None
    return pod.started_at + timedelta(seconds=document.init_seconds + _readiness_seconds(pod))


def _until_counted(situation: Situation, pod: PodView) -> datetime | None:
    """The pod is ready, the Deployment does not count it yet."""
    ready = sum(pod.ready for pod in situation.pods)
    if not pod.ready or pod.containers_ready_at is None or situation.rollout.ready >= ready:
        return None
    return pod.containers_ready_at + timedelta(seconds=COUNT_SECONDS)
