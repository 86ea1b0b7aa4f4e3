"""GPU figures in `/metrics`, from a stand-in for the driver's library in C: no GPU is here."""

from __future__ import annotations

import subprocess
from pathlib import Path
from shutil import which

import pytest
from debian import debian_packages
from ocr_server import running_server

NVML = """
#include <string.h>
typedef struct { unsigned long long total, free, used; } memory;
typedef struct { unsigned int gpu, memory; } utilization;
static int asked;
int nvmlInitWithFlags(unsigned int flags) { return 0; }
int nvmlInit_v2(void) { return 0; }
const char *nvmlErrorString(int code) { return "lost"; }
int nvmlDeviceGetCount_v2(unsigned int *count) { *count = 2; return ++asked > LIFE ? 15 : 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **handle) {
  *handle = (void *)(long)(index + 1); return 0;
}
int nvmlDeviceGetName(void *handle, char *name, unsigned int size) {
  strncpy(name, "NVIDIA Paper", size); return 0;
}
int nvmlDeviceGetMemoryInfo(void *handle, memory *m) {
  m->total = 1000; m->used = 100 * (long)handle; m->free = m->total - m->used; return 0;
}
int nvmlDeviceGetUtilizationRates(void *handle, utilization *u) {
  u->gpu = 25 * (long)handle; u->memory = 0; return 0;
}
"""


def driver(folder: Path, life: int) -> str:
    """A folder with a library that answers `life` times, then says that the GPU is lost."""
    source = folder / "nvml.c"
    source.write_text(NVML)
    library = folder / "libnvidia-ml.so.1"
    if which("gcc") is None:
        debian_packages("gcc", "libc6-dev")
    subprocess.run(
        ["gcc", "-shared", "-fPIC", f"-DLIFE={life}", "-o", str(library), str(source)], check=True
    )
    return str(folder)


def test_memory_and_utilisation_of_each_gpu_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", driver(tmp_path, life=1000))
    with running_server(tmp_path / "server") as server:
        labels = '{gpu="1",name="NVIDIA Paper"}'
        server.wait_for(lambda: server.metric(f"ocr_gpu_memory_used_bytes{labels}") == 200)
        assert server.metric(f"ocr_gpu_memory_total_bytes{labels}") == 1000
        assert server.metric(f"ocr_gpu_utilization_ratio{labels}") == 0.5
        assert server.metric('ocr_gpu_utilization_ratio{gpu="0"') == 0.25


def test_a_lost_gpu_is_not_shown_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", driver(tmp_path, life=1))
    with running_server(tmp_path / "server") as server:
        server.wait_for(lambda: "the GPU cannot be asked" in server.log, 20)
        assert "ocr_gpu_memory_used_bytes{" not in server.get("/metrics").text
        assert server.get("/livez").status_code == 200


def test_without_a_driver_nothing_is_shown(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        assert "ocr_gpu" not in server.get("/metrics").text
