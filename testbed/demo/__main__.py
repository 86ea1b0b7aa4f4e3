"""`make demo`: from nothing to three pages read through an OcrService.

On the embedded cluster or on a given one. Every step is a command that a person could type.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from testbed.demo.install import apply_services, build_images, install_operator, use_given_cluster
from testbed.demo.pages import read_pages
from testbed.demo.report import say_how_to_go_on, show
from testbed.demo.shell import CLUSTER, NAMESPACE, Demo, DemoError


def main() -> int:
    parser = argparse.ArgumentParser(prog="testbed.demo", description=__doc__)
    parser.add_argument(
        "--cluster", help="kubeconfig of a cluster to use instead of the embedded one"
    )
    parser.add_argument("--registry", help="registry to push the images to, with --cluster")
    parser.add_argument("--yes", action="store_true", help="really use that cluster")
    demo = Demo(parser.parse_args())
    try:
        names = ("kubectl", "helm")
        paths = demo.testbed("tool", *names).split()
        demo.tools = dict(zip(names, paths, strict=True))
        if demo.arguments.cluster:
            use_given_cluster(demo)
        else:
            line = demo.testbed("up", "--name", CLUSTER).strip().splitlines()[-1]
            demo.kubeconfig = Path(line.partition("=")[2])
        images = build_images(demo)
        demo.say("installing the operator with helm")
        install_operator(demo, images)
        demo.say("applying two OcrServices")
        key = apply_services(demo)
        demo.kubectl(
            "wait", "--namespace", NAMESPACE, "--for=condition=Ready", "--timeout=180s",
            "ocrservice/invoices", "ocrservice/archive",
        )  # fmt: skip
        demo.say("both are Ready")
        read_pages(demo, key)
        show(demo)
        say_how_to_go_on(demo)
    except DemoError as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        return 1
    demo.say("done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
