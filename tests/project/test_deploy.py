"""The files in deploy/ and compose.yaml agree with each other, with the settings and with the routes."""

import copy
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient

from safeact_env.server.main import STOP_SECONDS
from safeact_env.server.settings import Settings
from safeact_env.version import VERSION
from tools.servers.replicas import nginx_config

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
NGINX = (ROOT / "deploy" / "nginx.conf").read_text()
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
PATHS = {"/health", "/ready"}
KINDS = {
    "Service": "v1",
    "StatefulSet": "apps/v1",
    "Deployment": "apps/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "PodDisruptionBudget": "policy/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
}
DURABLE = {"--appendonly": "yes", "--appendfsync": "always", "--maxmemory-policy": "noeviction"}

Document = dict[str, Any]


def manifests() -> dict[str, Document]:
    """Every document by `Kind/name`."""
    found = {}
    for path in sorted(KUBERNETES.glob("*.yaml")):
        if path.name == "kustomization.yaml":
            continue
        for document in yaml.safe_load_all(path.read_text()):
            found[f"{document['kind']}/{document['metadata']['name']}"] = document
    return found


# Kubernetes ----------------------------------------------------------------------------------------------


def pods(documents: dict[str, Document]) -> dict[str, Document]:
    return {
        name: one["spec"]["template"] for name, one in documents.items() if "template" in one.get("spec", {})
    }


def selected(documents: dict[str, Document], labels: Document) -> list[Document]:
    """The pods that have all these labels."""
    return [pod for pod in pods(documents).values() if labels.items() <= pod["metadata"]["labels"].items()]


def ports_of(pod: Document) -> dict[Any, int]:
    """The ports of a pod, by name and by number."""
    listed = [port for container in pod["spec"]["containers"] for port in container.get("ports", [])]
    return {key: port["containerPort"] for port in listed for key in (port["name"], port["containerPort"])}


def problems(documents: dict[str, Document]) -> Iterator[str]:
    """Everything that does not fit together."""
    for name, one in documents.items():
        kind, spec = one["kind"], one["spec"]
        if KINDS.get(kind) != one["apiVersion"]:
            yield f"{name}: {one['apiVersion']} has no {kind} here"
        if kind == "Service":
            yield from service_problems(documents, name, spec)
        elif kind == "NetworkPolicy":
            yield from policy_problems(documents, name, spec)
        elif kind == "PodDisruptionBudget" and not selected(documents, spec["selector"]["matchLabels"]):
            yield f"{name}: selects no pod"
        elif kind == "HorizontalPodAutoscaler":
            yield from scaler_problems(documents, name, spec)
        if "template" in spec:
            if not spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items():
                yield f"{name}: does not select its own pods"
            for container in spec["template"]["spec"]["containers"]:
                yield from container_problems(documents, name, spec["template"], container)


def service_problems(documents: dict[str, Document], name: str, spec: Document) -> Iterator[str]:
    chosen = selected(documents, spec["selector"])
    if not chosen:
        yield f"{name}: selects no pod"
    for port in spec["ports"]:
        if not all(port["targetPort"] in ports_of(pod) for pod in chosen):
            yield f"{name}: its pods have no port {port['targetPort']}"


def policy_problems(documents: dict[str, Document], name: str, spec: Document) -> Iterator[str]:
    chosen = selected(documents, spec["podSelector"]["matchLabels"])
    if not chosen:
        yield f"{name}: selects no pod"
    for rule in spec["ingress"]:
        for source in rule["from"]:
            if not selected(documents, source["podSelector"]["matchLabels"]):
                yield f"{name}: lets in no pod"
        for port in rule["ports"]:
            if not all(port["port"] in ports_of(pod) for pod in chosen):
                yield f"{name}: its pods have no port {port['port']}"


def scaler_problems(documents: dict[str, Document], name: str, spec: Document) -> Iterator[str]:
    target = f"{spec['scaleTargetRef']['kind']}/{spec['scaleTargetRef']['name']}"
    if target not in documents:
        yield f"{name}: there is no {target}"
    elif "replicas" in documents[target]["spec"]:
        yield f"{name}: {target} sets its own number of replicas"
    else:
        requests = [
            container.get("resources", {}).get("requests", {})
            for container in documents[target]["spec"]["template"]["spec"]["containers"]
        ]
        if not all(metric["resource"]["name"] in each for metric in spec["metrics"] for each in requests):
            yield f"{name}: a container of {target} does not request what is measured"
    if not 2 <= spec["minReplicas"] <= spec["maxReplicas"]:
        yield f"{name}: the numbers of replicas are out of order"


def container_problems(
    documents: dict[str, Document], name: str, pod: Document, container: Document
) -> Iterator[str]:
    ports = ports_of(pod)
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = container.get(kind, {})
        for way in ("httpGet", "tcpSocket"):
            if way in probe and probe[way]["port"] not in ports:
                yield f"{name}: {kind} asks a port that is not there"
        if "httpGet" in probe and probe["httpGet"]["path"] not in PATHS:
            yield f"{name}: {kind} asks a path that is not there"
    if not {"readinessProbe", "livenessProbe"} <= container.keys():
        yield f"{name}: a probe is missing"
    yield from image_problems(name, container["image"])
    plain = [one for one in container.get("env", []) if "value" in one]
    given = {one["name"]: one.get("value", "") for one in container.get("env", [])}
    yield from env_problems(name, given, ports)
    if any("TOKEN" in one["name"] for one in plain):
        yield f"{name}: a secret is written into the manifest"
    if "SAFEACT_DRAIN_SECONDS" in given:
        yield from drain_problems(name, pod["spec"], container, float(given["SAFEACT_DRAIN_SECONDS"]))
    for variable in plain:
        store = re.fullmatch(r"redis://([a-z-]+):(\d+)/0", variable["value"])
        if variable["name"] == "SAFEACT_STORE":
            service = documents.get(f"Service/{store[1]}") if store else None
            if service is None or store is None:
                yield f"{name}: there is no service for {variable['value']}"
            elif int(store[2]) not in [port["port"] for port in service["spec"]["ports"]]:
                yield f"{name}: the service of {variable['value']} has another port"
    security = {**pod["spec"].get("securityContext", {}), **container.get("securityContext", {})}
    if not (security.get("runAsNonRoot") and security.get("readOnlyRootFilesystem")):
        yield f"{name}: runs as root, or writes where it should not"
    if container["image"].startswith("redis"):
        yield from durability_problems(name, container["args"])


def drain_problems(name: str, spec: Document, container: Document, drain: float) -> Iterator[str]:
    """A pod is killed when its grace is over, whatever it is doing."""
    wait = float(container["lifecycle"]["preStop"]["exec"]["command"][1])
    if spec["terminationGracePeriodSeconds"] <= wait + drain + STOP_SECONDS:
        yield f"{name}: it is killed before its episodes have had their time"
    if container["readinessProbe"]["httpGet"]["path"] != "/ready":
        yield f"{name}: it gets new episodes while it is about to stop"


def image_problems(name: str, image: str) -> Iterator[str]:
    if ":" not in image or image.endswith(":latest"):
        yield f"{name}: {image} may be any version"
    if image.startswith("safeact-env:") and image != f"safeact-env:{VERSION}":
        yield f"{name}: {image} is not this version"


def env_problems(name: str, env: dict[str, str], ports: Any) -> Iterator[str]:
    known = {f"SAFEACT_{field}".upper() for field in Settings.model_fields}
    for variable in env:
        if variable.startswith("SAFEACT_") and variable not in known:
            yield f"{name}: there is no setting {variable}"
    if "SAFEACT_PORT" in env and int(env["SAFEACT_PORT"]) not in ports:
        yield f"{name}: the server listens on a port that is not declared"
    if "SAFEACT_STORE" in env and not env["SAFEACT_STORE"].startswith("redis://"):
        yield f"{name}: the store is not shared"


def durability_problems(name: str, args: list[str]) -> Iterator[str]:
    options = dict(zip(args[::2], args[1::2], strict=True))
    for option, value in DURABLE.items():
        if options.get(option) != value:
            yield f"{name}: {option} must be {value}"


def test_the_manifests_fit_together() -> None:
    assert {one["kind"] for one in manifests().values()} == set(KINDS)
    assert not list(problems(manifests()))


def test_the_kustomization_names_every_file() -> None:
    named = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["resources"]
    there = {path.name for path in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml"}
    assert sorted(named) == sorted(there)


def test_the_probes_ask_for_a_route(client: TestClient) -> None:
    for path in PATHS:
        assert client.get(path).status_code == 200


def change(documents: dict[str, Document], name: str, path: str, value: Any) -> None:
    """Set what lies at a path such as `spec.ports.0.port`; delete it if the value is `None`."""
    *steps, last = [int(step) if step.isdigit() else step.replace("~", ".") for step in path.split(".")]
    place: Any = documents[name]
    for step in steps:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value


SERVER = "spec.template.spec.containers.0"
LABEL = "app~kubernetes~io/name"
MUTANTS = [
    ("Service/safeact-env", f"spec.selector.{LABEL}", "other"),
    ("Service/safeact-env", "spec.ports.0.targetPort", "web"),
    ("Service/safeact-redis", "spec.ports.0.port", 6380),
    ("Deployment/safeact-env", "apiVersion", "extensions/v1beta1"),
    ("Deployment/safeact-env", "spec.replicas", 2),
    ("Deployment/safeact-env", f"spec.template.metadata.labels.{LABEL}", "other"),
    ("Deployment/safeact-env", f"{SERVER}.ports.0.containerPort", 8000),
    ("Deployment/safeact-env", f"{SERVER}.readinessProbe.httpGet.port", "web"),
    ("Deployment/safeact-env", f"{SERVER}.livenessProbe.httpGet.path", "/healthz"),
    ("Deployment/safeact-env", f"{SERVER}.livenessProbe", None),
    ("Deployment/safeact-env", f"{SERVER}.readinessProbe.httpGet.path", "/health"),
    ("Deployment/safeact-env", "spec.template.spec.terminationGracePeriodSeconds", 48),
    ("Deployment/safeact-env", f"{SERVER}.env.4.value", "120"),
    ("Deployment/safeact-env", f"{SERVER}.env.5", {"name": "SAFEACT_API_TOKEN", "value": "s3cret"}),
    ("Deployment/safeact-env", f"{SERVER}.image", "safeact-env:latest"),
    ("Deployment/safeact-env", f"{SERVER}.image", "safeact-env:0.0.1"),
    ("Deployment/safeact-env", f"{SERVER}.env.0.name", "SAFEACT_HOTS"),
    ("Deployment/safeact-env", f"{SERVER}.env.2.value", "memory"),
    ("Deployment/safeact-env", f"{SERVER}.env.2.value", "redis://redis:6379/0"),
    ("Deployment/safeact-env", f"{SERVER}.resources.requests", {"memory": "1Gi"}),
    ("Deployment/safeact-env", f"{SERVER}.securityContext.readOnlyRootFilesystem", False),
    ("StatefulSet/safeact-redis", f"{SERVER}.args.3", "everysec"),
    ("StatefulSet/safeact-redis", f"{SERVER}.args.7", "allkeys-lru"),
    ("HorizontalPodAutoscaler/safeact-env", "spec.scaleTargetRef.name", "other"),
    ("HorizontalPodAutoscaler/safeact-env", "spec.minReplicas", 1),
    ("PodDisruptionBudget/safeact-env", f"spec.selector.matchLabels.{LABEL}", "other"),
    ("NetworkPolicy/safeact-redis", f"spec.podSelector.matchLabels.{LABEL}", "other"),
    ("NetworkPolicy/safeact-redis", "spec.ingress.0.ports.0.port", 1234),
]


@pytest.mark.parametrize(("name", "path", "value"), MUTANTS)
def test_a_planted_mistake_is_caught(name: str, path: str, value: Any) -> None:
    documents = copy.deepcopy(manifests())
    change(documents, name, path, value)
    assert list(problems(documents))


# Compose and nginx ---------------------------------------------------------------------------------------


def compose_problems(compose: Document, nginx: str) -> Iterator[str]:
    services = compose["services"]
    for name, one in services.items():
        yield from image_problems(name, one["image"])
        for other in one.get("depends_on", {}):
            if other not in services:
                yield f"{name}: depends on {other}, which is not there"
        exposed = [int(port) for port in one.get("expose", [])]
        yield from env_problems(name, one.get("environment", {}), exposed)
        for volume in one.get("volumes", []):
            source = volume.split(":")[0]
            there = (ROOT / source).exists() if source.startswith(".") else source in compose["volumes"]
            if not there:
                yield f"{name}: there is no {source}"
    upstream = set(re.findall(r"^\s+server ([\w-]+:\d+)", nginx, re.MULTILINE))
    replicas = {
        f"{name}:{one['environment']['SAFEACT_PORT']}"
        for name, one in services.items()
        if "SAFEACT_STORE" in one.get("environment", {})
    }
    if upstream != replicas or len(replicas) < 2:
        yield f"nginx passes requests to {sorted(upstream)}, the replicas are {sorted(replicas)}"
    stores = {one["environment"]["SAFEACT_STORE"] for one in services.values() if "environment" in one}
    if stores != {"redis://redis:6379/0"} or "6379" not in services["redis"]["expose"]:
        yield f"the replicas' stores are {stores}"
    yield from durability_problems("redis", services["redis"]["command"][1:])
    if not services["nginx"]["ports"][0].endswith(":" + re.findall(r"listen (\d+);", nginx)[0]):
        yield "nginx listens on another port than the published one"


def test_compose_and_nginx_fit_together() -> None:
    assert not list(compose_problems(COMPOSE, NGINX))


@pytest.mark.parametrize(
    "plant",
    [
        lambda compose: compose["services"].pop("replica-2"),
        lambda compose: compose["services"]["replica-1"]["depends_on"].update(postgres={}),
        lambda compose: compose["services"]["replica-1"]["environment"].update(SAFEACT_STORE="memory"),
        lambda compose: compose["services"]["replica-1"]["environment"].update(SAFEACT_PORT="8000"),
        lambda compose: compose["services"]["replica-1"]["environment"].update(SAFEACT_HOTS="x"),
        lambda compose: compose["services"]["redis"].update(image="redis"),
        lambda compose: compose["services"]["redis"].update(command=["redis-server"]),
        lambda compose: compose["services"]["nginx"].update(ports=["7860:80"]),
        lambda compose: compose["services"]["nginx"].update(volumes=["./deploy/other.conf:/etc/x"]),
        lambda compose: compose.update(volumes={}),
    ],
)
def test_a_planted_mistake_in_compose_is_caught(plant: Callable[[Document], object]) -> None:
    # The anchor makes both replicas one object; a copy of each, so that a mistake is in one.
    compose = yaml.load((ROOT / "compose.yaml").read_text(), yaml.SafeLoader)
    compose["services"] = {name: copy.deepcopy(one) for name, one in compose["services"].items()}
    plant(compose)
    assert list(compose_problems(compose, NGINX))


def test_a_replica_that_nginx_does_not_know_is_caught() -> None:
    assert list(compose_problems(COMPOSE, NGINX.replace("server replica-2:7860", "server replica-3:7860")))


def test_nginx_accepts_its_file(tmp_path: Path) -> None:
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed (Debian: apt-get install nginx-light)")
    path = tmp_path / "nginx.conf"
    for text, accepted in ((nginx_config([1, 2], 3), True), (nginx_config([1, 2], 3) + "}", False)):
        path.write_text(text)
        command = ["nginx", "-t", "-c", str(path), "-g", f"pid {tmp_path}/pid;"]
        tested = subprocess.run(command, capture_output=True, text=True)
        assert (tested.returncode == 0) is accepted, tested.stderr
