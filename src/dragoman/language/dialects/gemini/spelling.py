"""How Gemini's JSON may be spelt, and small readers for single values.

Google's JSON accepts every field as ``camelCase`` and ``snake_case``, enums as words or integers and
64-bit integers as strings; what we write is camelCase (R25). This module must not know messages,
tools or answers.

Wire: https://ai.google.dev/api/generate-content and https://protobuf.dev/programming-guides/json/
"""

from __future__ import annotations

from typing import Any

from dragoman.language.failures import Refused
from dragoman.language.ir import Extras, Json
from dragoman.language.wire import MAX_DEPTH

NAME = "gemini"

_NAMES = """
allowedFunctionNames artifactUri audioTimestamp avgLogprobs blockReason blockReasonMessage cacheTokensDetails
cachedContent cachedContentTokenCount candidateCount candidatesTokenCount candidatesTokensDetails chosenCandidates
citationMetadata citationSources codeExecution codeExecutionResult computerUse createTime dataStoreSpec displayName
dynamicRetrievalConfig enableAffectiveDialog enableEnhancedCivicAnswers endIndex endOffset enterpriseWebSearch
excludedPredefinedFunctions executableCode fileData fileSearch fileSearchStoreNames fileUri finishMessage
finishReason frequencyPenalty functionCall functionCallingConfig functionDeclarations functionResponse
generationConfig googleMaps googleSearch googleSearchRetrieval groundingChunkIndices groundingChunks
groundingMetadata groundingSupports imageConfig includeServerSideToolInvocations includeThoughts inlineData
jsonPath languageCode latLng logProbability logprobsResult maxOutputTokens mediaResolution mimeType modelArmorConfig
modelVersion multiSpeakerVoiceConfig numberValue nullValue boolValue partIndex partMetadata partialArgs
parametersJsonSchema prebuiltVoiceConfig presencePenalty promptFeedback promptTemplateName promptTokenCount
promptTokensDetails renderedContent responseId responseJsonSchema responseLogprobs responseMimeType
responseModalities responseSchema
responseTemplateName retrievalConfig retrievalMetadata retrievedContext retrievedUrl routingConfig safetyRatings
safetySettings searchEntryPoint serviceTier severityScore probabilityScore speechConfig startIndex startOffset
stopSequences stringValue systemInstruction thinkingBudget thinkingConfig thinkingLevel thoughtSignature
thoughtsTokenCount timeRangeFilter tokenCount tokenId toolCall toolConfig toolResponse toolType
toolUsePromptTokenCount toolUsePromptTokensDetails topCandidates topK topP totalTokenCount trafficType
uriContext urlContext urlContextMetadata urlMetadata urlRetrievalStatus usageMetadata videoMetadata
vertexAiSearch voiceConfig voiceName webSearchQueries willContinue modelSelectionConfig
""".split()

_FREE = frozenset(
    "args response parameters parametersJsonSchema responseSchema responseJsonSchema labels customMetadata".split()
)
"""Fields whose content belongs to the client or to a tool: names in there are not ours to spell."""


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


_CAMEL = {_snake(name): name for name in _NAMES if _snake(name) != name}


def camel(value: Json, depth: int = 0) -> Json:
    """A copy in which every field Google knows is spelt in camelCase; free content is left alone."""
    if isinstance(value, dict):
        spelt = {}
        for key, item in value.items():
            key = _CAMEL.get(key, key)
            if key in _FREE or depth >= MAX_DEPTH:
                spelt[key] = item
            else:
                spelt[key] = camel(item, depth + 1)
        return spelt
    if isinstance(value, list) and depth < MAX_DEPTH:
        return [camel(item, depth + 1) for item in value]
    return value


def check_depth(body: Json) -> None:
    """Refuse nesting over which recursion would not be safe."""
    level = [body]
    for _ in range(MAX_DEPTH):
        below: list[Json] = []
        for value in level:
            if isinstance(value, dict):
                below.extend(item for item in value.values() if isinstance(item, dict | list))
            elif isinstance(value, list):
                below.extend(item for item in value if isinstance(item, dict | list))
        if not below:
            return
        level = below
    raise Refused("", f"the body is nested deeper than {MAX_DEPTH} levels")


def extras(fields: dict[str, Json]) -> Extras:
    """The fields as extras of ours; empty when there are none."""
    return {NAME: fields} if fields else {}


def ours(node_extras: Extras) -> dict[str, Json]:
    """Our fields among a node's extras."""
    return node_extras.get(NAME) or {}


def wire_fields(fields: dict[str, Json]) -> dict[str, Json]:
    """Fields that go on the wire: everything but form."""
    return {key: value for key, value in fields.items() if key[0] != "~"}


def as_list(value: Json) -> list[Any]:
    """A repeated field; Google reads a single value as a list of one."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def integer(value: Json, path: str) -> int:
    """An integer, which may be spelt as a string or with a fraction of zero."""
    if isinstance(value, str | float):
        try:
            number = float(value)
            if number == int(number):
                return int(value) if isinstance(value, str) and value.lstrip("+-").isdigit() else int(number)
        except (ValueError, OverflowError):
            pass
    elif isinstance(value, int) and not isinstance(value, bool):
        return value
    raise Refused(path, "must be an integer")


def number(value: Json, path: str) -> float:
    """A number, which may be spelt as a string."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    elif isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise Refused(path, "must be a number")


def mapping(value: Json, path: str) -> dict[str, Json]:
    """An object."""
    if not isinstance(value, dict):
        raise Refused(path, "must be an object")
    return value
