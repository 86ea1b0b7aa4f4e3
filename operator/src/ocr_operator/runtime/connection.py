"""How the process reaches the API server: one configuration for the client and for kopf's
watches."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import aiohttp
import kopf
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config.incluster_config import load_incluster_config
from kubernetes.aio.config.kube_config import load_kube_config

from ocr_operator.runtime.watches import WatchMonitor

USER_AGENT = "ocr-operator"
LOGIN_PAUSE_SECONDS = 5.0
"""Between two logins. kopf logs in again after each 401 and at once: with a token the API server
has stopped to accept, and the kubelet has not replaced yet, that would be a busy loop."""


async def load_configuration(kubeconfig: Path | None) -> Configuration:
    """The service account of the pod, or the file. The token is read again as the kubelet rotates
    it."""
    configuration = Configuration()
    if kubeconfig is None:
        load_incluster_config(configuration)  # type: ignore[no-untyped-call]
    else:
        await load_kube_config(  # type: ignore[no-untyped-call]
            str(kubeconfig), client_configuration=configuration, persist_config=False
        )
    # A proxy from the environment is for the way out of the cluster, not to its API server.
    configuration.client_session_kwargs = {"trust_env": False}
    configuration.retries = None
    return configuration


def open_client(configuration: Configuration) -> ApiClient:
    """The one client of the process."""
    client = ApiClient(configuration)
    client.user_agent = USER_AGENT
    return client


class Login:
    """kopf's way in: a session of our own, so that the watches can be observed from
    outside."""

    def __init__(self, configuration: Configuration, watches: WatchMonitor) -> None:
        self._configuration = configuration
        self._watches = watches
        self._last = float("-inf")

    async def login(self, **_: Any) -> kopf.AiohttpSession:
        """The handler."""
        since = time.monotonic() - self._last
        if since < LOGIN_PAUSE_SECONDS:
            await asyncio.sleep(LOGIN_PAUSE_SECONDS - since)
        self._last = time.monotonic()
        configuration = self._configuration
        token = await configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._ssl()),
            headers={"User-Agent": USER_AGENT} | ({"Authorization": token} if token else {}),
            trace_configs=[self._watches.trace()],
            response_class=self._watches.responses(),
            read_bufsize=2**21,
        )
        return kopf.AiohttpSession(server=configuration.host, aiohttp_session=session)

    def _ssl(self) -> Any:
        configuration = self._configuration
        return kopf.ConnectionInfo(
            server=configuration.host,
            ca_path=configuration.ssl_ca_cert,
            ca_data=configuration.ca_cert_data,
            insecure=not configuration.verify_ssl,
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
        ).as_ssl_context()
