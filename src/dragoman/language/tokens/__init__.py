"""Counts tokens without a network: text, images, tools, whole requests.

The vocabularies ship with the package. Counts of requests follow what OpenAI reports; for other
families a learned factor brings them close (``Correction``). This package must not know any wire,
nor who asks; the only data it reads is its own.
"""

from dragoman.language.tokens.correction import Correction
from dragoman.language.tokens.counting import count_request, fresh_characters
from dragoman.language.tokens.vocabulary import count_text

__all__ = ["Correction", "count_request", "count_text", "fresh_characters"]
