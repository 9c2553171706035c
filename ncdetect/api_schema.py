"""What the API's OpenAPI document tells of bodies and answers, with examples."""

from typing import Any

from fastapi import FastAPI

from ncdetect.predictor import Verdict

TITLE = "ncdetect"
ABOUT = """Is a voice real or synthetic? Send a sound file, get a verdict and its reasons.

A verdict is one of `real`, `fake` and `undecided`. `probability` is that of `fake`, if real and fake were
equally likely; no verdict is proof. A clip is held in memory while it is judged, never on disk, and is gone
with the answer. All errors are `application/problem+json` (RFC 9457), with a `code` for programs.

**Sound that is still coming** is judged over a WebSocket at `/v1/stream`. The first message says what comes,
`{"format": "s16le", "rate": 48000, "channels": 1}` (or `f32le`, or `{"format": "opus"}` for Ogg or WebM as
MediaRecorder writes it). Then follow binary messages, cut anywhere, of at most 1 MiB each, and at last
`{"end": true}`. About every half second of sound comes `{"type": "rolling", ...}`: `state` (`listening`,
`quiet` or `judged`), and from 1.5 s on `last` (of the newest 3 s; less than that is `preliminary`) and
`so_far`, each with `verdict`, `reason`, `probability`, `distance_real` and `distance_fake`. Rolling verdicts
are rougher than that on a whole clip, and are left out where judging is slower than the sound. At the end
comes `{"type": "final", "verdict": ...}`, the same JSON as of `/v1/check`. What cannot go on is told as
`{"type": "error", "code": ..., "detail": ...}`; the stream is then closed with 4000 + the status that HTTP
would have. A stream may last 10 minutes of sound, and is closed after 15 s without a message."""

EXAMPLE = {
    "verdict": "fake",
    "reason": "The clip lies nearer to the average synthetic voice, and the classifier says the same.",
    "reason_code": "agree",
    "score": 4.21,
    "probability": 0.97,
    "distance_real": 9.4,
    "distance_fake": 3.1,
    "percentile_real": 0.99,
    "percentile_fake": 0.41,
    "nearest_mean": "fake",
    "agreement": True,
    "novelty": 0.62,
    "windows": [{"start_s": 0.0, "end_s": 3.0, "judged": True, "score": 4.21, "probability": 0.97}],
    "neighbours": [
        {
            "row": 812,
            "clip": "corpus/train/clip-0812.flac",
            "corpus": "corpus",
            "split": "train",
            "label": "fake",
            "generator": "vocoder",
            "kind": "neural",
            "language": "en",
            "distance": 1.8,
        }
    ],
    "warnings": [
        {"code": "short", "sentence": "The clip lasts only 1.2 seconds: the verdict is less certain."}
    ],
    "maps": {"exact": [9.4, 3.1]},
    "duration_s": 3.0,
    "model": {"name": "listener", "architecture": "listener", "sha256": "5f0c", "version": "0.1.0"},
}
_PROBLEM = {
    "type": "about:blank",
    "title": "Unprocessable Content",
    "status": 422,
    "detail": "The sound lasts 0.12 seconds, and at least 0.3 are needed: choose a longer part.",
    "code": "too_short",
    "request_id": "0f8fad5bd9cb469fa16570867728950e",
}
_MODEL = {
    "models": [
        {
            "name": "listener",
            "architecture": "listener",
            "sha256": "5f0c",
            "version": "0.1.0",
            "real_below": 0.35,
            "fake_above": 0.65,
        }
    ]
}
_TEXT = {"type": "string"}
_PROBLEM_SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": _TEXT,
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": {**_TEXT, "description": "One sentence for people."},
        "code": {**_TEXT, "description": "For programs."},
        "request_id": _TEXT,
        "place": {"type": "integer", "description": "In the line, where it is full."},
        "retry_after_s": {"type": "integer"},
    },
}
_WHY = {
    400: "The body is no form, or too many parts.",
    401: "A token is needed.",
    404: "There is nothing at this address.",
    405: "The address knows no such method.",
    408: "The body came too slowly.",
    413: "The body is too large.",
    415: "The body is no multipart form.",
    422: "The clip cannot be judged; `code` and `detail` say why.",
    429: "Too many requests; Retry-After says when to send the next.",
    500: "A fault of the server.",
    503: "Loading, broken, busy (with the place in line), late, stopping: Retry-After says how long.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Answers that are problems, for `responses` of a route."""
    example = {"schema": {"$ref": "#/components/schemas/Problem"}, "example": _PROBLEM}
    return {
        status: {"description": _WHY[status], "content": {"application/problem+json": example}}
        for status in statuses
    }


def form(field: str, most: int = 1) -> dict[str, Any]:
    """A multipart body with one file, or with several, for `openapi_extra` of a route."""
    file = {"type": "string", "format": "binary"}
    several = {"type": "array", "items": file, "minItems": 1, "maxItems": most}
    schema = {"type": "object", "required": [field], "properties": {field: several if most > 1 else file}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def _answer(description: str, schema: dict[str, Any], example: Any) -> dict[int | str, dict[str, Any]]:
    content = {"application/json": {"schema": schema, "example": example}}
    return {200: {"description": description, "content": content}}


VERDICT = {
    200: {
        "model": Verdict,
        "description": "The verdict.",
        "content": {"application/json": {"example": EXAMPLE}},
    }
}
_RESULT = {
    "type": "object",
    "properties": {
        "verdict": {"$ref": "#/components/schemas/Verdict"},
        "problem": {"$ref": "#/components/schemas/Problem"},
    },
}
RESULTS = _answer(
    "For each file, in their order, a verdict or a problem.",
    {
        "type": "object",
        "required": ["results"],
        "properties": {"results": {"type": "array", "items": _RESULT}},
    },
    {
        "results": [
            {"verdict": EXAMPLE},
            {"problem": {k: v for k, v in _PROBLEM.items() if k != "request_id"}},
        ]
    },
)
MODELS = _answer("The model that judges.", {"type": "object"}, _MODEL)
STATUS = _answer("Yes.", {"type": "object", "properties": {"status": _TEXT}}, {"status": "ok"})


def complete(app: FastAPI) -> None:
    """Put into the document of an application what FastAPI does not know by itself."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema:
            return app.openapi_schema
        schemas = made()["components"]["schemas"]
        schemas["Problem"] = _PROBLEM_SCHEMA
        neighbour = schemas["Neighbour"]  # see Verdict.to_dict
        neighbour["properties"]["clip"] = neighbour["properties"].pop("path")
        neighbour["required"] = ["clip" if name == "path" else name for name in neighbour["required"]]
        return app.openapi_schema

    app.openapi = openapi
