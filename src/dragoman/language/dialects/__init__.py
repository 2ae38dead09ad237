"""The dialects. Each is one module with both halves of one wire: as a client speaks it, as a provider does.

A dialect is nine names::

    NAME            str, equal to the module's name; owner key of its extras
    read_request    (body, *, model=None, stream=None) -> Request          raises Refused
    write_request   (request, profile, receipt) -> body                    request has been fitted
    StreamReader    () -> streams.StreamReader                             provider's bytes -> events
    StreamWriter    (asked) -> streams.StreamWriter                        events -> client's bytes
    read_response   (body) -> Response                                     raises AnswerFailed
    write_response  (response, asked) -> body
    read_failure    (status, headers, body_bytes) -> Failure
    write_failure   (failure, request_id="") -> (status, body)

``model`` and ``stream`` are given where the wire keeps them outside the body (Gemini's URL).
To add a dialect, follow the recipe in docs/ARCHITECTURE.md.
"""
