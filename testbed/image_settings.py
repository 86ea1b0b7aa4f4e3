"""What only the building machine has, its index and its certificates, as secrets of a build.

Secrets are mounted for one RUN; they end in no layer, no environment and no history of the image.
"""

from __future__ import annotations

import configparser
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

# Where the Dockerfiles find the secret `build_ca`.
CERTIFICATES = "/run/secrets/build_ca"
CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")

FORWARDED = (
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT",
    "UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_INDEX_STRATEGY",
    "UV_INSECURE_HOST", "UV_HTTP_TIMEOUT", "UV_NATIVE_TLS",
)  # fmt: skip
# uv does not read pip's files, and a machine often has no others.
PIP_FILES = ("/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf")
FROM_PIP_FILE = {
    "index-url": ("PIP_INDEX_URL", "UV_DEFAULT_INDEX"),
    "extra-index-url": ("PIP_EXTRA_INDEX_URL", "UV_INDEX"),
    "trusted-host": ("PIP_TRUSTED_HOST", "UV_INSECURE_HOST"),
}


def secrets_of_this_machine(folder: Path, environment: Mapping[str, str]) -> dict[str, Path]:
    """Secret's name to the file in `folder` that holds it."""
    secrets = {}
    values = from_pip_files(environment) | {
        name: environment[name] for name in FORWARDED if environment.get(name)
    }
    bundle = next(filter(None, map(environment.get, CERTIFICATE_VARIABLES)), None)
    if bundle and Path(bundle).is_file():
        secrets["build_ca"] = Path(shutil.copy(bundle, folder / "build_ca"))
        values |= dict.fromkeys(CERTIFICATE_VARIABLES, CERTIFICATES)
    if values:
        secrets["build_env"] = folder / "build_env"
        lines = [f"{name}={shlex.quote(value)}\n" for name, value in values.items()]
        secrets["build_env"].write_text("".join(lines))
    return secrets


def from_pip_files(environment: Mapping[str, str]) -> dict[str, str]:
    files = [
        Path(name).expanduser() for name in (*PIP_FILES, environment.get("PIP_CONFIG_FILE", ""))
    ]
    # Interpolation would stumble over the %40 of a password.
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(path for path in files if path.is_file())
    return {
        variable: " ".join(parser["global"][setting].split())
        for setting, variables in FROM_PIP_FILE.items()
        if parser.has_option("global", setting)
        for variable in variables
    }
