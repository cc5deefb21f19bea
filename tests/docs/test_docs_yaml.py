"""The files for Kubernetes and SkyPilot in the how-tos: they parse, have fields that there are, and run commands that there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from vjepa_fer import __version__
from vjepa_fer.cli.main import make_program

yaml = pytest.importorskip("yaml")
HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"

# ray-operator/apis/ray/v1 of KubeRay, and the parts of a pod that are used
RAY_JOB = {
    "entrypoint",
    "shutdownAfterJobFinishes",
    "backoffLimit",
    "rayClusterSpec",
    "submitterPodTemplate",
    "submissionMode",
    "ttlSecondsAfterFinished",
    "activeDeadlineSeconds",
    "runtimeEnvYAML",
    "suspend",
}
CLUSTER = {"rayVersion", "headGroupSpec", "workerGroupSpecs", "enableInTreeAutoscaling", "autoscalerOptions"}
HEAD = {"rayStartParams", "template", "serviceType"}
GROUP = HEAD | {"groupName", "replicas", "minReplicas", "maxReplicas"}
CONTAINER = {"name", "image", "env", "resources", "volumeMounts", "command", "args", "ports", "lifecycle"}
# docs/source/reference/yaml-spec.rst of SkyPilot
TASK = {"name", "workdir", "num_nodes", "resources", "envs", "secrets", "file_mounts", "volumes", "setup", "run"}
RESOURCES = {
    *(
        "infra",
        "accelerators",
        "accelerator_args",
        "cpus",
        "memory",
        "instance_type",
        "use_spot",
        "disk_size",
        "disk_tier",
    ),
    *("network_tier", "image_id", "ports", "labels", "autostop", "any_of", "ordered", "job_recovery"),
}


def documents(page: str) -> list:
    blocks = re.findall(r"```yaml\n(.*?)```", (HOW_TO / page).read_text(encoding="utf-8"), re.DOTALL)
    return [document for block in blocks for document in yaml.safe_load_all(block)]


def check_command(line: str) -> None:
    """Every option of a vjepa-fer line is one of its command's."""
    words = shlex.split(line)
    name, *others = words[words.index("vjepa-fer") + 1 :]
    options = {option for parameter in make_program().commands[name].params for option in parameter.opts}
    assert {word for word in others if word.startswith("--")} <= options


def test_the_ray_job_has_fields_that_there_are():
    claim, job = documents("kubernetes.md")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]
    cluster = spec["rayClusterSpec"]
    assert spec.keys() <= RAY_JOB
    assert cluster.keys() <= CLUSTER
    assert cluster["headGroupSpec"].keys() <= HEAD
    (group,) = cluster["workerGroupSpecs"]
    assert group.keys() <= GROUP
    check_command(spec["entrypoint"])
    assert all(isinstance(value, str) for value in cluster["headGroupSpec"]["rayStartParams"].values())
    for pod in (cluster["headGroupSpec"]["template"]["spec"], group["template"]["spec"]):
        (container,) = pod["containers"]
        assert container.keys() <= CONTAINER
        assert container["image"].endswith(f":{__version__}")
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
        claims = [one["persistentVolumeClaim"]["claimName"] for one in pod["volumes"] if "emptyDir" not in one]
        assert claims == [claim["metadata"]["name"]]


def test_a_worker_of_the_ray_job_asks_for_no_more_than_its_pod_has():
    _, job = documents("kubernetes.md")
    words = shlex.split(job["spec"]["entrypoint"])
    asked = {word: int(words[n + 1]) for n, word in enumerate(words) if word.endswith(("-per-worker", "--workers"))}
    (container,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]["containers"]
    limits = container["resources"]["limits"]
    assert asked["--cpus-per-worker"] <= int(limits["cpu"])
    assert asked["--gpus-per-worker"] <= int(limits["nvidia.com/gpu"])
    assert asked["--workers"] < asked["--cpus-per-worker"]


def test_the_pages_name_the_ray_that_was_tried():
    pinned = re.search(r"^ray==(.+)$", (HOW_TO.parents[1] / "constraints.txt").read_text(), re.MULTILINE)[1]
    _, job = documents("kubernetes.md")
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == pinned
    assert f"rayproject/ray:{pinned}-" in (HOW_TO / "kubernetes.md").read_text(encoding="utf-8")
    assert f"Ray {pinned.rpartition('.')[0]} " in (HOW_TO / "ray.md").read_text(encoding="utf-8")


def test_the_spot_task_has_fields_that_there_are():
    (task,) = documents("spot.md")
    assert task.keys() <= TASK
    assert task["resources"].keys() <= RESOURCES
    assert task["resources"]["job_recovery"].keys() <= {"strategy", "max_restarts_on_errors", "recover_on_exit_codes"}
    assert {one["mode"] for one in task["file_mounts"].values()} <= {"MOUNT", "COPY", "MOUNT_CACHED"}
    for line in task["run"].splitlines():
        if line.strip().startswith("vjepa-fer"):
            check_command(line.partition("||")[0])
