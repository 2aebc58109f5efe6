"""`inference.py` with a file or a variable that cannot be used: a sentence, exit code 2, and no traceback."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from safeact_env.cli import inference as module
from safeact_env.cli.inference import app
from safeact_env.llm.errors import Unusable
from tests.llm.conftest import _nothing_configured, serve  # noqa: F401  # fixtures
from tests.llm.stub import KEY, MODEL, Expert

ARGUMENTS = ("--task", "easy", "--seeds", "0")
AWAY = {"API_BASE_URL": "https://endpoint.example/v1", "MODEL_NAME": MODEL, "OPENAI_API_KEY": KEY}


def inference(*arguments, env=None):
    return CliRunner().invoke(app, [*ARGUMENTS, *arguments], env=env or {}, catch_exceptions=False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", "socks://127.0.0.1:1"),
        ("HTTPS_PROXY", "ftp://127.0.0.1:1"),
        ("all_proxy", "http://127.0.0.1:port"),
        ("SSL_CERT_FILE", "/no/such/file.pem"),
    ],
)
def test_a_variable_that_cannot_be_used(serve, name, value):  # noqa: F811
    done = inference(env={**AWAY, name: value})
    assert (done.exit_code, name in done.stderr) == (2, True)
    assert "Traceback" not in done.output
    done = inference("--agent", "expert", "--url", "https://server.example", env={name: value})
    assert (done.exit_code, name in done.stderr) == (2, True)
    stub = serve(Expert(("easy", "test", 0)))
    here = {**AWAY, "API_BASE_URL": f"{stub.url}/v1", name: value}
    assert "success=true" in inference(env=here).stdout


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
def test_a_file_that_is_not_utf_8(monkeypatch, encoding):
    Path(".env").write_bytes(f"# für\nMODEL_NAME={MODEL}\n".encode(encoding))
    done = inference()
    assert (done.exit_code, ".env is not text in UTF-8" in done.stderr) == (2, True)
    assert "success=true" in inference("--agent", "expert").stdout
    asked = []

    def opened(model, **_more):
        asked.append(model.endpoint.kind)
        raise Unusable("far enough")

    monkeypatch.setattr("safeact_env.cli.model_run.opened", opened)
    done = inference("--agent", "local")
    assert asked == ["local"]
    assert "The local model is played without it." in done.stderr
    assert done.exit_code == module.WRONG
