"""Convert Gemma 3 from a GGUF file to a folder that transformers loads."""

from llm_summ.models.gguf.convert import convert_gemma3
from llm_summ.models.gguf.read import GgufFile, GgufTensor, read_gguf
from llm_summ.models.gguf.tokenizer import build_tokenizer

__all__ = ["GgufFile", "GgufTensor", "build_tokenizer", "convert_gemma3", "read_gguf"]
