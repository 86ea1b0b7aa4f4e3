"""The command line: `python3 -m testbed COMMAND`."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path

if not __package__:
    # `python3 testbed/…` puts this folder on the path instead of the one above it.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from testbed import cluster, containerd, debian, metrics, namespaces, s3, tools
from testbed.layout import checked_name
from testbed.process import TestbedError
from testbed.progress import Progress

# Debian keeps ip, iptables and containerd in folders that are not on everybody's PATH.
ADMINISTRATION = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin")


def main(arguments: list[str]) -> int:
    os.environ["PATH"] = ":".join([os.environ.get("PATH", ""), *ADMINISTRATION])
    os.umask(0o022)
    try:
        options = parser().parse_args(arguments)
        options.command(options, Progress(quiet=options.quiet))
    except TestbedError as e:
        print(f"testbed: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="testbed", description="A real single-node Kubernetes on this machine."
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def add(
        name: str, command: object, text: str, default: str | None = "default"
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command)
        sub.add_argument("--quiet", action="store_true", help="say nothing but the answer")
        if default:
            sub.add_argument(
                "--name", type=checked_name, default=default, help=f"the cluster ({default})"
            )
        return sub

    add("up", up, "bring a whole cluster up and print the export line of its KUBECONFIG")
    add("control-plane", control_plane, "only etcd and kube-apiserver, in seconds", "control-plane")
    down_ = add("down", down, "take a cluster down; nothing of it is left")
    down_.add_argument("--all", action="store_true", help="all there are")
    load_ = add("load", load, "import images from docker-archive tar files")
    load_.add_argument("archives", nargs="+", type=Path, metavar="TAR")
    add("s3", start_s3, "start an S3 server that pods reach, and print its variables")
    add("metrics", start_metrics, "start metrics-server, for `kubectl top` and autoscaling")
    exec_ = add("exec", execute, "run a command in the cluster's network")
    exec_.add_argument("argv", nargs="+", metavar="CMD")
    add("list", list_, "names of the clusters there are", None)
    tool_ = add("tool", tool, "build tools if need be and print their paths", None)
    tool_.add_argument("tools", nargs="+", metavar="NAME")
    packages_ = add("packages", packages, "install the Debian packages of a group", None)
    packages_.add_argument("groups", nargs="+", choices=sorted(debian.PACKAGES), metavar="GROUP")
    return top


def up(options: argparse.Namespace, progress: Progress) -> None:
    print(f"export KUBECONFIG={cluster.up(options.name, cluster.WHOLE, progress)}")


def control_plane(options: argparse.Namespace, progress: Progress) -> None:
    print(f"export KUBECONFIG={cluster.up(options.name, cluster.CONTROL_PLANE, progress)}")


def down(options: argparse.Namespace, progress: Progress) -> None:
    for name in cluster.names() if options.all else [options.name]:
        cluster.down(name, progress)


def list_(_options: argparse.Namespace, _progress: Progress) -> None:
    for name in cluster.names():
        print(name)


def load(options: argparse.Namespace, progress: Progress) -> None:
    socket = cluster.environment(options.name)["containerd_socket"]
    if socket is None:
        raise TestbedError(f"{options.name} is a control plane without a node")
    for said in containerd.load(Path(socket), options.archives):
        progress.say(said)


def start_s3(options: argparse.Namespace, progress: Progress) -> None:
    running = cluster.existing(options.name)
    binary = tools.ensure(["versitygw"], progress)["versitygw"]
    for name, value in s3.start(running, binary).items():
        print(f"export {name}={shlex.quote(value)}")


def start_metrics(options: argparse.Namespace, progress: Progress) -> None:
    running = cluster.existing(options.name)
    binaries = tools.ensure(["metrics-server", "kubectl"], progress)
    metrics.start(running, binaries, progress)


def execute(options: argparse.Namespace, _progress: Progress) -> None:
    argv = [str(part) for part in namespaces.inside(options.name, options.argv)]
    # Not a child: signals for it reach it, and its exit status is the answer.
    os.execvp(argv[0], argv)  # noqa: S606


def tool(options: argparse.Namespace, progress: Progress) -> None:
    for path in tools.ensure(options.tools, progress).values():
        print(path)


def packages(options: argparse.Namespace, progress: Progress) -> None:
    for group in options.groups:
        debian.ensure(group, progress)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
