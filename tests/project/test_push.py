"""`openenv push` takes the checkout as it is, up to the upload, which a stand-in for the hub receives."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from openenv.cli._cli_utils import validate_env_structure
from openenv.cli.commands import push
from typer.testing import CliRunner

from safeact_env import client
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
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub()
    monkeypatch.setattr(push, "whoami", lambda: {"name": "someone"})
    monkeypatch.setattr(push, "HfApi", lambda: hub)
    return hub


def test_the_structure_is_what_openenv_asks_for(checkout: Path) -> None:
    assert validate_env_structure(checkout) == ["Recommended directory missing: outputs/"]


@pytest.mark.parametrize("missing", ["__init__.py", "client.py", "openenv.yaml", "README.md", "Dockerfile"])
def test_nothing_is_pushed_without(missing: str, checkout: Path, hub: Hub) -> None:
    (checkout / missing).unlink()
    assert CliRunner().invoke(push.app, [str(checkout)]).exit_code != 0
    assert not hasattr(hub, "created")


def test_a_push_uploads_what_the_image_is_built_from(checkout: Path, hub: Hub) -> None:
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
