"""What stands while the spec cannot be carried out: the template rendered last.

A wrong edit or an upgrade that drops a version of a model must not leave what runs to itself. The
choices behind that template are read back from it: today's catalogue may know nothing of them.
"""

from __future__ import annotations

from typing import Any

from ocr_operator.api.v1alpha1 import OcrServiceSpec
from ocr_operator.core import template
from ocr_operator.core.learn import learn
from ocr_operator.core.observed import ChildKind, LiveChild, Observed, ServiceView
from ocr_operator.core.ownership import Holdings
from ocr_operator.core.render import Render, Stored, read_stored
from ocr_operator.core.resolve import DEFAULT_SERVICE_PORT, Problem, Resolved
from ocr_operator.core.written import read_status
from ocr_operator.startup.catalogue import CatalogueModel
from ocr_operator.startup.profile import Prior

SPREAD = 0.5
"""Of the starts behind a template: unknown, and used only for a status that was lost."""


def last_render(observed: Observed, holdings: Holdings, problem: Problem) -> Render | Problem:
    """The render of our own Deployment, or the problem alone when there is none to hold on to."""
    live = holdings.ours.get(ChildKind.DEPLOYMENT)
    stored = read_stored(live) if live else None
    if live is None or stored is None:
        return problem
    spec = observed.service.spec or _live_spec(live, holdings.ours.get(ChildKind.SERVICE))
    service = _as_rendered(observed.service, spec, stored)
    limit = template.cpu_limit(stored.template)
    return Render(
        template=stored.template,
        numbers=stored.numbers,
        input_hash=stored.input_hash,
        learned=learn(observed, service, stored.running, stored.running.image, limit),
        service=service,
        problem=problem,
    )


def _as_rendered(view: ServiceView, spec: OcrServiceSpec, stored: Stored) -> Resolved:
    rendered, version = stored.template, stored.version
    engine = template.environment(rendered, "OCR_MODEL")
    # The template has the engine's name only; the status has named the model ever since.
    name = (read_status(view.status).model or engine).removesuffix(f"-{version}")
    gpu_resource, gpu_count = template.device(rendered)
    return Resolved(
        key=view.key,
        uid=view.uid,
        spec=spec,
        model=CatalogueModel(
            name=name,
            versions=(version,),
            engine=engine,
            image="",
            requests={},
            limits={},
            prior=Prior(stored.numbers.center, SPREAD, "as in the present template"),
        ),
        version=version,
        backend=stored.backend,
        image=template.image(rendered),
        pull_policy="",
        gpu_count=gpu_count,
        gpu_resource=gpu_resource,
    )


def _live_spec(deployment: LiveChild, service: LiveChild | None) -> OcrServiceSpec:
    """As much of a spec as the children tell, for one that cannot be read."""
    ports: Any = service.manifest["spec"].get("ports") if service else None
    return OcrServiceSpec.model_validate(
        {
            "model": {"name": deployment.name},
            "replicas": deployment.manifest["spec"].get("replicas"),
            "service": {"port": ports[0]["port"] if ports else DEFAULT_SERVICE_PORT},
        }
    )
