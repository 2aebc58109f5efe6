"""`openenv push` takes the checkout as it is, up to the upload, which a stand-in for the hub receives."""

import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from huggingface_hub import HfApi
from typer.testing import CliRunner

from safeact_env import client
from tests.project.hub import COLOURS
from tests.project.hub import hub as hub_server
from tools.servers.throwaway import ROOT, UNCOPIED


class Hub:
    """Receives what would go to the hub."""

    created: dict[str, Any]
    uploaded: dict[str, Any]
    files: dict[str, bytes]

    def create_repo(self, **asked: Any) -> None:
        self.created = asked

    def upload_folder(self, **asked: Any) -> None:
        folder = Path(asked["folder_path"])
        self.uploaded = asked
        self.files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    copy = tmp_path / "safeact"
    shutil.copytree(ROOT, copy, ignore=UNCOPIED)
    (copy / ".env").write_text("OPENAI_API_KEY=sk-secret\n")
    return copy


@pytest.fixture
def push() -> ModuleType:
    """The command. Every process of the tests reads this file, and only one needs what it imports."""
    return import_module("openenv.cli.commands.push")


@pytest.fixture
def hub(push: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub()
    monkeypatch.setattr(push, "whoami", lambda: {"name": "someone"})
    monkeypatch.setattr(push, "HfApi", lambda: hub)
    return hub


def test_the_structure_is_what_openenv_asks_for(checkout: Path) -> None:
    from openenv.cli._cli_utils import validate_env_structure

    assert validate_env_structure(checkout) == ["Recommended directory missing: outputs/"]


@pytest.mark.parametrize("missing", ["__init__.py", "client.py", "openenv.yaml", "README.md", "Dockerfile"])
def test_nothing_is_pushed_without(missing: str, checkout: Path, hub: Hub, push: ModuleType) -> None:
    (checkout / missing).unlink()
    assert CliRunner().invoke(push.app, [str(checkout)]).exit_code != 0
    assert not hasattr(hub, "created")


def test_a_push_uploads_what_the_image_is_built_from(checkout: Path, hub: Hub, push: ModuleType) -> None:
    done = CliRunner().invoke(push.app, [str(checkout), "--no-interface"])
    assert done.exit_code == 0, done.output
    assert hub.created["repo_id"] == hub.uploaded["repo_id"] == "someone/safeact"
    assert hub.created["space_sdk"] == "docker"
    for name in ("Dockerfile", "README.md", "uv.lock"):
        assert hub.files[name] == (ROOT / name).read_bytes()
    context = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"]
    for name in context:
        assert any(file == name or file.startswith(f"{name}/") for file in hub.files), name
    assert not [name for name in hub.files if name.startswith(".") or "__pycache__" in name]


def test_the_program_pushes_to_a_hub_that_answers_over_http(
    checkout: Path, push: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hub_server() as hub:
        monkeypatch.setattr(push, "HfApi", lambda: HfApi(endpoint=hub.url, token="hf_stand_in"))
        monkeypatch.setattr(push, "whoami", lambda: HfApi(endpoint=hub.url, token="hf_stand_in").whoami())
        done = CliRunner().invoke(push.app, [str(checkout), "--exclude", ".gitignore"])
    assert done.exit_code == 0, done.output
    (space,) = hub.created
    assert (space["organization"], space["name"], space["sdk"]) == ("someone", "safeact", "docker")
    assert hub.files["Dockerfile"] == (ROOT / "Dockerfile").read_bytes()
    assert hub.files["openenv.yaml"] == (ROOT / "openenv.yaml").read_bytes()
    assert not [name for name in hub.files if name.startswith((".", "build/", "dist/"))]
    card = yaml.safe_load(hub.files["README.md"].decode().split("---\n")[1])
    # Spaces open this path first; where OpenEnv's page is off, it leads to the page at /demo.
    assert card["base_path"] == "/web"
    assert (card["sdk"], card["app_port"]) == ("docker", 7860)
    assert {card["colorFrom"], card["colorTo"]} <= COLOURS


def test_the_checkout_as_a_package_offers_the_client(checkout: Path) -> None:
    code = (
        "import safeact, safeact.client; print(safeact.SafeActEnv.__module__, *sorted(vars(safeact.client)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=checkout.parent, check=True, capture_output=True, text=True
    )
    module, *names = ran.stdout.split()
    assert module == "safeact_env.client.websocket"
    assert set(client.__all__) <= set(names)
