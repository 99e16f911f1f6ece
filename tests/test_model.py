"""The nouns."""

from __future__ import annotations

from enum import StrEnum

import pytest

from bisyncer.model import Agreement, Algorithm, Delta, Side, Verdict


@pytest.mark.parametrize("words", [Agreement, Algorithm, Delta, Side, Verdict])
def test_a_word_is_found_under_its_text_too(words: type[StrEnum]) -> None:
    assert {word: number for number, word in enumerate(words)} == {
        str.__str__(word): number for number, word in enumerate(words)
    }
    assert all(hash(word) == hash(word.value) for word in words)
