"""What the test bed takes from Debian, and how it is installed when it is missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from testbed.process import TestbedError, run
from testbed.progress import Progress

# Set to anything by those who do not want packages to be installed for them.
NO_INSTALL = "OCR_TESTBED_NO_INSTALL"

CNI_PLUGINS = Path("/usr/lib/cni")


def has(program: str) -> Callable[[], bool]:
    return lambda: shutil.which(program) is not None


def has_ensurepip() -> bool:
    # Debian cuts venv's other half out of python3.
    try:
        run(["python3", "-c", "import ensurepip, venv"])
    except TestbedError:
        return False
    return True


# Package by package, how to see that it is there, whoever installed it.
PACKAGES: dict[str, dict[str, Callable[[], bool]]] = {
    "control-plane": {
        "iproute2": has("ip"),
        "openssl": has("openssl"),
        "util-linux": has("nsenter"),
        "iptables": has("iptables"),
        "ca-certificates": Path("/etc/ssl/certs/ca-certificates.crt").exists,
    },
    "node": {
        "busybox-static": has("busybox"),
        "conntrack": has("conntrack"),
        "containerd": has("containerd"),
        "containernetworking-plugins": (CNI_PLUGINS / "bridge").exists,
        "ethtool": has("ethtool"),
        "ipset": has("ipset"),
        "runc": has("runc"),
        "socat": has("socat"),
    },
    "images": {
        "buildah": has("buildah"),
        "debootstrap": has("debootstrap"),
    },
    "python": {"python3-venv": has_ensurepip},
}


def ensure(group: str, progress: Progress) -> None:
    missing = [package for package, there in PACKAGES[group].items() if not there()]
    if not missing:
        return
    install = f"apt-get install --yes --no-install-recommends {' '.join(missing)}"
    if os.geteuid() != 0 or not shutil.which("apt-get") or os.environ.get(NO_INSTALL):
        raise TestbedError(f"missing from this machine; as root:\n  apt-get update && {install}")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    progress.run_long("apt-get update", ["apt-get", "update", "-qq"], timeout=600, env=environment)
    progress.run_long(
        f"installing {', '.join(missing)}", [*install.split(), "-qq"], timeout=1200, env=environment
    )
    absent = [package for package in missing if not PACKAGES[group][package]()]
    if absent:
        raise TestbedError(f"installed, and still not found: {', '.join(absent)}")
