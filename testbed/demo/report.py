"""What the demo shows at its end: the table, the probes and why, and how to go on."""

from __future__ import annotations

import json
from pathlib import Path

from testbed.demo.shell import CLUSTER, NAMESPACE, SYSTEM_NAMESPACE, Demo


def show(demo: Demo) -> None:
    """The table, the probes of one service and the sentence that says why."""
    print("\n$ kubectl get ocrservices --namespace " + NAMESPACE)
    print(demo.kubectl("get", "ocrservices", "--namespace", NAMESPACE), end="")
    for name in ("invoices", "archive"):
        service = json.loads(
            demo.kubectl("get", "ocrservice", name, "--namespace", NAMESPACE, "-o", "json")
        )
        deployment = json.loads(
            demo.kubectl("get", "deployment", name, "--namespace", NAMESPACE, "-o", "json")
        )
        container = deployment["spec"]["template"]["spec"]["containers"][0]
        print(f"\nprobes of {name}: {service['status']['startup']['explanation']}")
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            probe = container[kind]
            print(
                f"  {kind:15} GET {probe['httpGet']['path']:9} every {probe['periodSeconds']} s, "
                f"timeout {probe['timeoutSeconds']} s, {probe['failureThreshold']} failures"
            )


def say_how_to_go_on(demo: Demo) -> None:
    stop = (
        f"kubectl delete namespace {NAMESPACE}; helm uninstall ocr-operator -n {SYSTEM_NAMESPACE}; "
        f"kubectl delete namespace {SYSTEM_NAMESPACE}; kubectl delete -f crds/"
        if demo.arguments.cluster
        else f"python3 -m testbed down --name {CLUSTER}"
    )
    print(f"""
To go on:
  export KUBECONFIG={demo.kubeconfig} PATH={Path(demo.tools["kubectl"]).parent}:$PATH
  kubectl describe ocrservice invoices --namespace {NAMESPACE}
  kubectl port-forward --namespace {NAMESPACE} service/invoices 8081 &
  KEY=$(kubectl get secret invoices-keys -n {NAMESPACE} -o jsonpath='{{.data.demo}}' | base64 -d)
  curl -H "Authorization: Bearer $KEY" -F file=@examples/pages/letter-en.png \\
       http://127.0.0.1:8081/ocr
To stop:
  {stop}""")
