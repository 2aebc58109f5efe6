"""Which model, where, and with which key."""

from pathlib import Path

import pytest

from safeact_env.llm.errors import UnreadableFile, Unusable
from safeact_env.llm.settings import NO_KEY, LLMSettings, endpoint_of

ROOT = Path(__file__).resolve().parents[2]
OPENAI, HF = "sk-of-openai-0123456789", "hf_of-hugging-face-0123456789"
ROUTER, EVIL = "https://router.huggingface.co/v1", "https://huggingface.co.evil.example/v1"


@pytest.fixture
def endpoint(monkeypatch):
    def made(model=None, **variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return endpoint_of(LLMSettings.load(), model)

    return made


def test_without_anything_the_local_model_is_played(endpoint):
    found = endpoint()
    assert (found.kind, found.model, found.shown) == ("local", "SmolLM2-135M-Instruct", "local")


def test_local_can_be_asked_for_although_a_key_is_set(endpoint):
    assert endpoint("local", OPENAI_API_KEY=OPENAI, MODEL_NAME="m").kind == "local"


def test_a_local_model_is_chosen_by_its_name_and_names_its_licence(endpoint):
    found = endpoint(SAFEACT_LOCAL_MODEL="gemma-3-270m")
    assert (found.model, found.file) == ("gemma-3-270m", None)
    assert found.terms["licence"].startswith("Gemma Terms of Use")


def test_a_local_model_of_ones_own(endpoint, tmp_path):
    file = tmp_path / "Some-Model.gguf"
    file.touch()
    found = endpoint(SAFEACT_LOCAL_MODEL=str(file))
    assert (found.model, found.file, found.terms) == ("Some-Model", file, {})
    with pytest.raises(
        Unusable, match=r"names .*, which is not a file\. The local models are .* gemma-3-270m"
    ):
        endpoint(SAFEACT_LOCAL_MODEL=str(tmp_path / "none.gguf"))


@pytest.mark.parametrize(
    ("variables", "url", "key"),
    [
        ({"OPENAI_API_KEY": OPENAI}, "https://api.openai.com/v1", OPENAI),
        ({"HF_TOKEN": HF}, "https://router.huggingface.co/v1", HF),
        ({"OPENAI_API_KEY": OPENAI, "HF_TOKEN": HF}, "https://api.openai.com/v1", OPENAI),
        ({"API_BASE_URL": "http://localhost:8000/v1/"}, "http://localhost:8000/v1", NO_KEY),
        ({"API_BASE_URL": "http://gw/v1", "HF_TOKEN": HF}, "http://gw/v1", HF),
        ({"API_BASE_URL": "http://gw/v1", "HF_TOKEN": HF, "OPENAI_API_KEY": OPENAI}, "http://gw/v1", OPENAI),
        ({"API_BASE_URL": ROUTER, "HF_TOKEN": HF, "OPENAI_API_KEY": OPENAI}, ROUTER, HF),
        ({"API_BASE_URL": EVIL, "HF_TOKEN": HF, "OPENAI_API_KEY": OPENAI}, EVIL, OPENAI),
        ({"OPENAI_API_KEY": "  " + OPENAI + "\n"}, "https://api.openai.com/v1", OPENAI),
        ({"OPENAI_API_KEY": "", "HF_TOKEN": HF}, "https://router.huggingface.co/v1", HF),
    ],
)
def test_a_key_goes_where_it_belongs(endpoint, variables, url, key):
    found = endpoint(MODEL_NAME="m", **variables)
    assert (found.url, found.key, found.model) == (url, key, "m")


def test_a_model_named_at_the_command_line_goes_first(endpoint):
    assert endpoint("other", MODEL_NAME="m", OPENAI_API_KEY=OPENAI).model == "other"


def azure(**more):
    return {
        "OPENAI_BACKEND": "azure",
        "AZURE_OPENAI_API_KEY": OPENAI,
        "AZURE_OPENAI_ENDPOINT": "https://name.openai.azure.com/",
        "AZURE_OPENAI_DEPLOYMENT": "gpt",
        **more,
    }


def test_azure(endpoint):
    found = endpoint(**azure(AZURE_OPENAI_API_VERSION="2025-01-01"))
    assert (found.kind, found.model, found.url) == ("azure", "gpt", "https://name.openai.azure.com")
    assert (found.key, found.api_version) == (OPENAI, "2025-01-01")


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"MODEL_NAME": "m"}, "To ask the model m a key is needed: set OPENAI_API_KEY or HF_TOKEN"),
        ({"OPENAI_API_KEY": OPENAI}, "no model: set MODEL_NAME"),
        (
            {"OPENAI_API_KEY": OPENAI, "MODEL_NAME": "m", "API_BASE_URL": "localhost:8000"},
            "API_BASE_URL must",
        ),
        ({"OPENAI_API_KEY": OPENAI, "MODEL_NAME": "m", "API_BASE_URL": "http://x:y/"}, "API_BASE_URL must"),
        ({"OPENAI_API_KEY": f"{OPENAI} {HF}", "MODEL_NAME": "m"}, "copy it again"),
        ({"OPENAI_API_KEY": f"{OPENAI}ä", "MODEL_NAME": "m"}, "copy it again"),
        ({"OPENAI_BACKEND": "aws"}, "OPENAI_BACKEND cannot be used"),
        (azure(AZURE_OPENAI_DEPLOYMENT=""), "which needs AZURE_OPENAI_DEPLOYMENT as well"),
        (
            azure(AZURE_OPENAI_API_KEY="", AZURE_OPENAI_ENDPOINT=""),
            "needs AZURE_OPENAI_API_KEY and AZURE_OPENAI_ENDPOINT as well",
        ),
    ],
)
def test_what_is_missing_or_wrong_is_told_without_the_key(endpoint, variables, sentence):
    with pytest.raises(Unusable) as caught:
        endpoint(**variables)
    assert sentence in str(caught.value)
    assert OPENAI not in str(caught.value)


def test_a_file_in_the_working_folder_is_read_and_the_environment_goes_first(endpoint):
    Path(".env").write_text(f"MODEL_NAME=of-the-file\nOPENAI_API_KEY={OPENAI}\nUNRELATED=1\n")
    assert endpoint().model == "of-the-file"
    assert endpoint(MODEL_NAME="of-the-environment").model == "of-the-environment"


def test_what_is_shown_of_an_address_holds_no_secret(endpoint):
    found = endpoint(
        "m", API_BASE_URL="https://user:hunter2@host.example:8443/v1?key=hunter2", OPENAI_API_KEY=OPENAI
    )
    assert found.shown == "https://host.example:8443/v1"
    assert OPENAI not in repr(found)
    assert OPENAI not in repr(LLMSettings.load())


def test_the_example_file_names_every_variable():
    text = (ROOT / ".env.example").read_text()
    named = {line.lstrip("# ").split("=")[0] for line in text.splitlines() if "=" in line}
    assert named >= {name.upper() for name in LLMSettings.model_fields}
    assert LLMSettings(_env_file=ROOT / ".env.example").remote is False


# The file ---------------------------------------------------------------------------------------------------

TEXT = f"MODEL_NAME=of-the-file\nOPENAI_API_KEY={OPENAI}\n"


@pytest.mark.parametrize("content", [TEXT.encode("utf-8-sig"), TEXT.replace("\n", "\r\n").encode()])
def test_a_file_of_any_editor_in_utf_8_is_read(endpoint, content):
    Path(".env").write_bytes(content)
    assert (endpoint().model, endpoint().key) == ("of-the-file", OPENAI)


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode("utf-16"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
        TEXT.encode("utf-32"),
        f"# f\u00fcr\n{TEXT}".encode("latin-1"),
        f"# \u201cx\u201d\n{TEXT}".encode("cp1252"),
        bytes(range(256)),
    ],
)
def test_a_file_that_is_not_utf_8_is_a_sentence_with_its_name(endpoint, content):
    Path(".env").write_bytes(content)
    with pytest.raises(UnreadableFile, match=r"^\.env is not text in UTF-8.*save it as UTF-8") as caught:
        endpoint()
    assert OPENAI not in str(caught.value)
    assert endpoint_of(LLMSettings.load(None), "local").kind == "local"


def test_a_file_that_may_not_be_read_is_a_sentence_with_its_name(endpoint, monkeypatch):
    Path(".env").write_text(TEXT)

    def refused(*_arguments, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refused)
    with pytest.raises(UnreadableFile, match=r"^\.env cannot be read: Permission denied"):
        endpoint()


def test_a_folder_of_that_name_is_no_file(endpoint):
    Path(".env").mkdir()
    assert endpoint().kind == "local"
