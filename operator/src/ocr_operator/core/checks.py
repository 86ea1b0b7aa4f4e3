"""What can go wrong with a service's pods: one small check each, the first that finds something
counts.

A text that Kubernetes or a pod writes can differ each time, and each difference would be a write:
it is reduced to what stays, or kept as it was written first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from ocr_operator.core import reasons
from ocr_operator.core.observed import PodView
from ocr_operator.core.resolve import Problem
from ocr_operator.core.situation import Situation
from ocr_operator.startup.sample import DocumentState

UNSCHEDULED_SECONDS = 5.0
"""A pod may be unschedulable for so long without a word: the scheduler tries again when another pod
has gone, as in a rollout without surge."""
QUICK_CRASH = timedelta(minutes=10)
"""A container that ran for longer is no crash loop; the kubelet forgets its back-off then, too."""
TEXT_CHARACTERS = 1024
"""Of a text that somebody else wrote."""

IMAGE_REASONS = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
IMAGE_CAUSES = (
    (r"not found|manifest unknown|does not exist", "it does not exist there"),
    (r"authori[sz]|authenticat|denied|forbidden", "access is denied"),
    (r"no such host|dial |timeout|timed out|refused|unreachable|TLS|x509", "it is out of reach"),
    (r"not present with pull policy", "it is not on the node, and the pull policy is Never"),
)
"""What the kubelet's message means. The message itself has ports and request numbers in it."""
CONFIG_REASONS = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
)

Check = Callable[[Situation], Problem | None]


def problems(situation: Situation) -> Iterator[Problem]:
    """Everything that is wrong, the most telling first."""
    for check in CHECKS:
        problem = check(situation)
        if problem is not None:
            yield problem


def first_problem(situation: Situation) -> Problem | None:
    return next(problems(situation), None)


def check_again_at(situation: Situation) -> datetime | None:
    """When a check may come to another answer though nothing happens."""
    waiting = (_patience_ends(pod) for pod in situation.pods if pod.unschedulable_message)
    return min((moment for moment in waiting if moment > situation.now), default=None)


def _refused(situation: Situation) -> Problem | None:
    for kind, answer in sorted(situation.observed.refusals.items()):
        text = plain_text(answer).rstrip(".")
        return Problem(reasons.APPLY_REFUSED, f"The API server refused the {kind.value}: {text}.")
    return None


def _image_pull(situation: Situation) -> Problem | None:
    for pod in situation.pods:
        if pod.waiting_reason in IMAGE_REASONS:
            known = situation.wrote(reasons.DEGRADED)
            begin = f"Image {pod.image} cannot be pulled"
            cause = _image_cause(pod.waiting_message)
            if cause is None and known is not None and known.message.startswith(begin):
                # ImagePullBackOff does not repeat what ErrImagePull said.
                return Problem(reasons.IMAGE_PULL_ERROR, known.message)
            advice = "`kubectl describe pod` shows the registry's answer"
            return Problem(
                reasons.IMAGE_PULL_ERROR, f"{begin}{f': {cause}' if cause else ''}; {advice}."
            )
    return None


def _unschedulable(situation: Situation) -> Problem | None:
    for pod in situation.pods:
        if pod.scheduled or not pod.unschedulable_message or _patience_ends(pod) > situation.now:
            continue
        gpu, causes = situation.service.gpu_resource, _causes(pod.unschedulable_message)
        if situation.service.gpu_count and gpu in pod.unschedulable_message:
            return Problem(
                reasons.INSUFFICIENT_GPU,
                f"No node has {situation.service.gpu_count} free {gpu}: add a node with one, or "
                f"scale down or suspend a service that holds one ({causes}).",
            )
        return Problem(
            reasons.UNSCHEDULABLE,
            f"No node takes the pod ({causes}): change resources, nodeSelector, tolerations or the "
            "claims, or add a node.",
        )
    return None


def _container_config(situation: Situation) -> Problem | None:
    for pod in situation.pods:
        if pod.waiting_reason in CONFIG_REASONS:
            text = plain_text(pod.waiting_message).rstrip(".")
            return Problem(
                reasons.CONTAINER_CONFIG_ERROR, f"The container cannot be started: {text}."
            )
    return None


def _load_failed(situation: Situation) -> Problem | None:
    for pod in situation.pods:
        document = situation.document(pod)
        if document and document.error and document.state is not DocumentState.READY:
            # While it tries again the state is `loading`; the error is of the try before.
            return Problem(reasons.LOAD_FAILED, f"The load failed: {plain_text(document.error)}")
    known = situation.wrote(reasons.MODEL_LOADED)
    if situation.unheard and known is not None and known.reason == reasons.LOAD_FAILED:
        return Problem(reasons.LOAD_FAILED, known.message)
    return None


def _crash_loop(situation: Situation) -> Problem | None:
    for pod in situation.pods:
        ended = pod.last_termination
        if ended is None or pod.ready or not _crashes(pod):
            continue
        why = f"exit code {ended.exit_code}" + (f", {ended.reason}" if ended.reason else "")
        said = plain_text(ended.message).rstrip(".")
        return Problem(
            reasons.CRASH_LOOP,
            f"The server ends again and again ({why}){f': {said}' if said else ''}; "
            "`kubectl logs --previous` shows its last words.",
        )
    return None


def _pods_refused(situation: Situation) -> Problem | None:
    if not situation.rollout.refusal:
        return None
    known = situation.wrote(reasons.DEGRADED)
    if known is not None and known.reason == reasons.PODS_REFUSED:
        # A quota's message counts what is used at the moment.
        return Problem(reasons.PODS_REFUSED, known.message)
    text = plain_text(situation.rollout.refusal).rstrip(".")
    return Problem(reasons.PODS_REFUSED, f"Pods cannot be created: {text}.")


def _deadline(situation: Situation) -> Problem | None:
    if not situation.rollout.stuck:
        return None
    return Problem(
        reasons.PROGRESS_DEADLINE_EXCEEDED,
        "The rollout has not finished within the Deployment's progressDeadlineSeconds; "
        "`kubectl describe pods` shows what the new pods wait for.",
    )


CHECKS: tuple[Check, ...] = (
    _refused,
    _image_pull,
    _unschedulable,
    _container_config,
    _load_failed,
    _crash_loop,
    _pods_refused,
    _deadline,
)


def plain_text(text: str) -> str:
    """One line, bounded: what a pod or a registry says is anything."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= TEXT_CHARACTERS else line[: TEXT_CHARACTERS - 1] + "…"


def _patience_ends(pod: PodView) -> datetime:
    return pod.created_at + timedelta(seconds=UNSCHEDULED_SECONDS)


def _image_cause(message: str) -> str | None:
    found = (cause for text, cause in IMAGE_CAUSES if re.search(text, message, re.IGNORECASE))
    return next(found, None)


def _causes(message: str) -> str:
    """The scheduler's causes without how many nodes have them:
    `0/3 nodes are available: 2 Insufficient cpu, 1 node(s) had …. preemption: …`."""
    first = re.split(r"\. (?:preemption:|no new claims)", plain_text(message))[0]
    _, separator, listed = first.partition(" available: ")
    parts = re.split(r", (?=\d+ )", listed if separator else first)
    return "; ".join(sorted({re.sub(r"^\d+ ", "", part).rstrip(".") for part in parts}))


def _crashes(pod: PodView) -> bool:
    """Waiting for the kubelet's back-off, or on the third run after short ones: on the second one
    it may still be an accident."""
    if pod.waiting_reason == "CrashLoopBackOff":
        return True
    ended = pod.last_termination
    if ended is None or pod.restart_count < 2 or not ended.started_at or not ended.finished_at:
        return False
    return ended.finished_at - ended.started_at < QUICK_CRASH
