"""Fixtures of the e2e tier and the benches: images, the chart installed by helm, an S3 server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from kubeapi import Api, Json, wait_for
from netns import NetworkNamespace
from paddle_env import tiny_models
from world import RELEASE, ROOT, SYSTEM, Room, World, namespace_name


def testbed(*arguments: str, timeout: float = 2400) -> str:
    """Run a command of the test bed; its progress goes to the test's output."""
    done = subprocess.run(
        ["python3", "-m", *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=sys.stderr,
        text=True, timeout=timeout, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"python3 -m {' '.join(arguments)} ended with {done.returncode}"
    return done.stdout


@pytest.fixture(scope="session")
def images(cluster) -> dict[str, str]:
    """The three images, built from the Dockerfiles and loaded into the cluster."""
    lines = testbed("testbed.images", "build", "operator", "cpu", "gpu").splitlines()
    built = dict(line.split("=", 1) for line in lines if "=" in line)
    references = {name: value.split()[0] for name, value in built.items()}
    testbed("testbed", "load", "--name", cluster.name, *(v.split()[1] for v in built.values()))
    return references


@pytest.fixture(scope="session")
def world(cluster, images) -> Iterator[World]:
    """The cluster with the operator installed and running."""
    state = json.loads(Path(f"/run/ocr-testbed/{cluster.name}/env.json").read_text())
    kubectl, helm = testbed("testbed", "tool", "kubectl", "helm").split()
    network = NetworkNamespace(state["init_pid"])
    world = World(
        api=Api(Path(cluster.kubeconfig)), kubeconfig=Path(cluster.kubeconfig),
        kubectl_path=kubectl, helm_path=helm, network=network,
        audit_log=Path(state["audit_log"]), images=images,
    )  # fmt: skip
    install(world)
    yield world
    network.close()
    world.api.http.close()


def install(world: World, release: str = RELEASE, *options: str) -> None:
    world.helm(
        "upgrade", "--install", release, str(ROOT / "charts" / "ocr-operator"),
        "--namespace", SYSTEM, "--create-namespace", "--values", "-", "--wait",
        "--timeout", "3m", *options,
        stdin=yaml.safe_dump(world.values()),
    )  # fmt: skip
    wait_for("the operator's pod", world.operator_pod, 90)


@pytest.fixture
def room(world, request) -> Iterator[Room]:
    """A namespace for one test, deleted afterwards without waiting."""
    name = namespace_name(request.node.name.removeprefix("test_"))
    world.api.create(
        "namespaces",
        None,
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": name,
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
            },
        },
    )
    yield Room(world, name)
    world.api.delete("namespaces", None, name)


@pytest.fixture(scope="session")
def s3(cluster) -> dict[str, str]:
    """The S3 server's endpoint and keys as pods see them."""
    exports = testbed("testbed", "s3", "--name", cluster.name)
    return dict(re.findall(r"(S3_[A-Z_]+)=['\"]?([^'\"\s]+)", exports))


@pytest.fixture
def claim(world, tmp_path) -> Iterator[Callable[[Room, str], Path]]:
    """Makes a PersistentVolumeClaim of that name; returns the folder that it is."""
    made: list[str] = []

    def make(room: Room, name: str) -> Path:
        # The node is this machine, so a hostPath volume of the cluster's administrator reaches it.
        folder = tmp_path / name
        folder.mkdir()
        give_to_pods(folder)
        for parent in folder.parents:
            parent.chmod(parent.stat().st_mode | 0o055)
        volume = f"{name}-{room.namespace}"[:63].rstrip("-")
        size = {"storage": "1Gi"}
        specs: dict[str, Json] = {
            "PersistentVolume": {
                "capacity": size,
                "accessModes": ["ReadWriteOnce"],
                "hostPath": {"path": str(folder)},
                "claimRef": {"namespace": room.namespace, "name": name},
            },
            "PersistentVolumeClaim": {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "",
                "volumeName": volume,
                "resources": {"requests": size},
            },
        }
        for kind, spec in specs.items():
            metadata = {"name": volume if kind == "PersistentVolume" else name}
            document = {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": spec}
            room.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(document))
        made.append(volume)
        return folder

    yield make
    for volume in made:
        world.kubectl("delete", "persistentvolume", volume, "--wait=false")


@pytest.fixture
def tiny_weights(claim) -> Callable[[Room], str]:
    """Makes a PersistentVolumeClaim that holds a tiny PaddleOCR-VL where PaddleX looks for it."""

    def make(room: Room) -> str:
        folder = claim(room, "weights")
        shutil.copytree(tiny_models(), folder / "paddlex" / "official_models")
        give_to_pods(folder)
        return "weights"

    return make


def give_to_pods(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 10001, 10001)
