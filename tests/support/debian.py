"""Debian packages that tests need: installed when root, otherwise named."""

from __future__ import annotations

import os
import subprocess


def debian_packages(*names: str) -> None:
    if not names:
        return
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *names]
    if os.geteuid() != 0:
        raise AssertionError(f"Debian packages are missing. Run as root: {' '.join(command)}")
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], capture_output=True, timeout=300)
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=quiet)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)} failed:\n{done.stderr}")
