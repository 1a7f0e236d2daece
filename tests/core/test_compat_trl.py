"""Canaries: sizes of TRL's fused head, copied in core/compat/trl.py."""

from __future__ import annotations

import pytest

from llm_summ.core.compat.trl import TILE_TOKENS, TILE_VOCABULARY

pytestmark = [pytest.mark.canary, pytest.mark.slow, pytest.mark.filterwarnings("ignore:::trl")]


def test_tiles_of_the_fused_head() -> None:
    from trl.kernels import chunked_logprob
    from trl.trainer import utils

    assert chunked_logprob.TOKEN_CHUNK_SIZE == TILE_TOKENS
    assert utils._CHUNKED_LOGPROB_CHUNK_SIZE == TILE_VOCABULARY
