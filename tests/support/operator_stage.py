"""Fixtures of the operator's integration tests: a bare API server, the operator, a namespace."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from kube import Kube
from kubeapi import Api, Json, condition, wait_for
from operator_install import ACCOUNT, ensure_namespace, install, kubeconfig_of_the_operator
from operator_process import SYSTEM
from playing import Playing

NOT_COUNTED = ("events", "ocrstartupprofiles")
"""Writes that are not a service's own: three events are allowed, and a profile serves many."""


@dataclass(frozen=True)
class Site:
    """An API server on which the operator is installed but does not run."""

    kube: Kube
    api: Api
    kubeconfig: Path
    folder: Path


@dataclass(frozen=True)
class Room:
    """A namespace of one test."""

    site: Site
    api: Api
    namespace: str
    playing: Playing

    def create(self, name: str = "invoices", **spec: Any) -> Json:
        body = {
            "apiVersion": "ocr-operator.dev/v1alpha1",
            "kind": "OcrService",
            "metadata": {"name": name},
            "spec": {"model": {"name": "pp-ocr"}, **spec},
        }
        return self.api.create("ocrservices", self.namespace, body)

    def edit(self, spec: Json, name: str = "invoices") -> None:
        self.api.patch("ocrservices", self.namespace, name, {"spec": spec})

    def service(self, name: str = "invoices") -> Json:
        return self.api.get("ocrservices", self.namespace, name)

    def child(self, plural: str = "deployments", name: str = "invoices") -> Json:
        return self.api.get(plural, self.namespace, name)

    def await_children(self, *names: str, timeout: float = 20) -> None:
        for name in names or ("invoices",):
            for plural in ("deployments", "services"):
                wait_for(
                    f"{plural}/{name}",
                    lambda plural=plural, name=name: self.api.find(plural, self.namespace, name),
                    timeout,
                    every=0.02,
                )

    def reason(self, kind: str = "Ready", name: str = "invoices") -> str:
        return str(condition(self.service(name), kind)["reason"])

    def await_ready(self, name: str = "invoices", timeout: float = 20) -> None:
        wait_for(
            f"{name} to be ready",
            lambda: condition(self.service(name), "Ready")["status"] == "True",
            timeout,
            every=0.05,
        )

    def make_ready(self, name: str = "invoices", seconds: float = 2.5) -> None:
        """The whole way from an OcrService that was just created."""
        self.await_children(name)
        pod = self.playing.run_pod(name, ago=seconds)
        pod.become_ready(seconds)
        self.await_ready(name)

    def writes(self, counted: bool = True) -> list[str]:
        """What the operator wrote in this namespace: `patch deployments invoices`."""
        found = []
        for entry in self.site.kube.audit(ACCOUNT):
            target = entry["objectRef"]
            where = target.get("namespace")
            if where != self.namespace or (counted and target["resource"] in NOT_COUNTED):
                continue
            what = "/".join(filter(None, (target["resource"], target.get("subresource"))))
            found.append(f"{entry['verb']} {what} {target.get('name')}")
        return found

    def quiet_for(self, seconds: float) -> list[str]:
        """What was written in that time."""
        before = len(self.writes(counted=False))
        time.sleep(seconds)
        return self.writes(counted=False)[before:]


@contextmanager
def installed(kube: Kube, folder: Path, **values: Any) -> Iterator[Site]:
    """The CRDs, the rights, and a kubeconfig of the operator's own account."""
    install(kube, **values)
    api = Api(kube.kubeconfig)
    yield Site(kube, api, kubeconfig_of_the_operator(kube, api, folder), folder)
    api.http.close()


@contextmanager
def a_room(site: Site, prefix: str = "room") -> Iterator[Room]:
    """A new namespace. What is in it goes with the API server, but the OcrServices go now: the
    operator of the next test should not have to look at them."""
    namespace = f"{prefix}-{uuid4().hex[:8]}"
    ensure_namespace(site.kube, namespace)
    playing = Playing(site.api, namespace)
    try:
        yield Room(site, site.api, namespace, playing)
    finally:
        playing.close()
        for service in site.api.list("ocrservices", namespace):
            site.api.delete("ocrservices", namespace, service["metadata"]["name"])


def profiles(api: Api) -> list[Json]:
    return api.list("ocrstartupprofiles", SYSTEM)
