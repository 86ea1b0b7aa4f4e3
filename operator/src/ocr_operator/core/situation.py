"""Everything a verdict may look at, once it is clear what is wanted and whose the children are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ocr_operator.api.v1alpha1 import Condition, OcrServiceStatus
from ocr_operator.core import reasons
from ocr_operator.core.measure import ATTEMPTS, living
from ocr_operator.core.observed import Observed, PodView
from ocr_operator.core.ownership import Holdings
from ocr_operator.core.render import Render
from ocr_operator.core.resolve import Resolved
from ocr_operator.core.rollout import Rollout
from ocr_operator.core.written import written_condition
from ocr_operator.startup.sample import Document


@dataclass(frozen=True, slots=True)
class Situation:
    """One reconcile, understood. `written` is the status as it was written last."""

    observed: Observed
    service: Resolved
    holdings: Holdings
    render: Render
    rollout: Rollout
    written: OcrServiceStatus
    now: datetime

    @property
    def pods(self) -> tuple[PodView, ...]:
        """Those that are to stay, by name."""
        return tuple(living(self.observed))

    @property
    def serves(self) -> bool:
        """Whether requests are answered: a pod is ready, and the Deployment counts it, whose
        controller is the one that would put another in its place."""
        return self.rollout.ready > 0 and any(pod.ready for pod in self.pods)

    @property
    def rolling(self) -> bool:
        """Whether pods are being replaced or added. Once it is said to be so it ends when all are
        ready: `complete` stays true while a Deployment is only scaled."""
        wanted, known = self.service.replicas, self.wrote(reasons.PROGRESSING)
        begun = known is not None and known.reason == reasons.ROLLOUT_IN_PROGRESS
        return self.rollout.moving(wanted) or (begun and self.rollout.ready < wanted)

    def document(self, pod: PodView) -> Document | None:
        """What the pod's running container said last; None while it is unread."""
        reading = self.observed.readings.get(pod.container_id)
        return reading.document if reading else None

    def unread(self, pod: PodView) -> bool:
        """Whether the running container's document may still tell what it has not told."""
        reading = self.observed.readings.get(pod.container_id)
        if pod.started_at is None or (reading is not None and reading.document is not None):
            return False
        return reading is None or reading.failures < ATTEMPTS

    @property
    def unheard(self) -> bool:
        """Whether a pod that is not ready has yet to tell how its start went. After a restart of
        the operator all of them have, and what was written before is the best that is known."""
        return any(self.unread(pod) and not pod.ready for pod in self.pods)

    def wrote(self, condition: str) -> Condition | None:
        """The condition as it was written last."""
        return written_condition(self.written, condition)
