import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Label(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LABEL_UNSPECIFIED: _ClassVar[Label]
    LABEL_AUTHENTIC: _ClassVar[Label]
    LABEL_SYNTHETIC: _ClassVar[Label]
    LABEL_UNCERTAIN: _ClassVar[Label]

class Doubt(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DOUBT_UNSPECIFIED: _ClassVar[Doubt]
    DOUBT_BETWEEN_THRESHOLDS: _ClassVar[Doubt]
    DOUBT_SMALL: _ClassVar[Doubt]
    DOUBT_FLAT: _ClassVar[Doubt]
    DOUBT_COMPRESSED: _ClassVar[Doubt]
    DOUBT_ENLARGED: _ClassVar[Doubt]
    DOUBT_SCREENSHOT: _ClassVar[Doubt]
    DOUBT_UNFAMILIAR: _ClassVar[Doubt]

class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REASON_UNSPECIFIED: _ClassVar[Reason]
    REASON_EMPTY: _ClassVar[Reason]
    REASON_UNSUPPORTED_FORMAT: _ClassVar[Reason]
    REASON_TRUNCATED: _ClassVar[Reason]
    REASON_UNDECODABLE: _ClassVar[Reason]
    REASON_TOO_MANY_BYTES: _ClassVar[Reason]
    REASON_TOO_MANY_PIXELS: _ClassVar[Reason]
    REASON_TOO_SMALL: _ClassVar[Reason]
    REASON_DEADLINE: _ClassVar[Reason]
    REASON_OVERLOADED: _ClassVar[Reason]
    REASON_INTERNAL: _ClassVar[Reason]
    REASON_UNKNOWN_BUNDLE: _ClassVar[Reason]
    REASON_REFERENCE_REFUSED: _ClassVar[Reason]
    REASON_REFERENCE_MISSING: _ClassVar[Reason]
    REASON_REFERENCE_FAILED: _ClassVar[Reason]
LABEL_UNSPECIFIED: Label
LABEL_AUTHENTIC: Label
LABEL_SYNTHETIC: Label
LABEL_UNCERTAIN: Label
DOUBT_UNSPECIFIED: Doubt
DOUBT_BETWEEN_THRESHOLDS: Doubt
DOUBT_SMALL: Doubt
DOUBT_FLAT: Doubt
DOUBT_COMPRESSED: Doubt
DOUBT_ENLARGED: Doubt
DOUBT_SCREENSHOT: Doubt
DOUBT_UNFAMILIAR: Doubt
REASON_UNSPECIFIED: Reason
REASON_EMPTY: Reason
REASON_UNSUPPORTED_FORMAT: Reason
REASON_TRUNCATED: Reason
REASON_UNDECODABLE: Reason
REASON_TOO_MANY_BYTES: Reason
REASON_TOO_MANY_PIXELS: Reason
REASON_TOO_SMALL: Reason
REASON_DEADLINE: Reason
REASON_OVERLOADED: Reason
REASON_INTERNAL: Reason
REASON_UNKNOWN_BUNDLE: Reason
REASON_REFERENCE_REFUSED: Reason
REASON_REFERENCE_MISSING: Reason
REASON_REFERENCE_FAILED: Reason

class Image(_message.Message):
    __slots__ = ("id", "data", "bundle", "timeout")
    ID_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    id: str
    data: bytes
    bundle: str
    timeout: _duration_pb2.Duration
    def __init__(self, id: _Optional[str] = ..., data: _Optional[bytes] = ..., bundle: _Optional[str] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ScoreRequest(_message.Message):
    __slots__ = ("image",)
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    image: Image
    def __init__(self, image: _Optional[_Union[Image, _Mapping]] = ...) -> None: ...

class ScoreResponse(_message.Message):
    __slots__ = ("outcome",)
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    outcome: Outcome
    def __init__(self, outcome: _Optional[_Union[Outcome, _Mapping]] = ...) -> None: ...

class ScoreStreamRequest(_message.Message):
    __slots__ = ("images",)
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    images: _containers.RepeatedCompositeFieldContainer[Image]
    def __init__(self, images: _Optional[_Iterable[_Union[Image, _Mapping]]] = ...) -> None: ...

class ScoreStreamResponse(_message.Message):
    __slots__ = ("outcomes",)
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[Outcome]
    def __init__(self, outcomes: _Optional[_Iterable[_Union[Outcome, _Mapping]]] = ...) -> None: ...

class Outcome(_message.Message):
    __slots__ = ("id", "verdict", "rejection")
    ID_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    REJECTION_FIELD_NUMBER: _ClassVar[int]
    id: str
    verdict: Verdict
    rejection: Rejection
    def __init__(self, id: _Optional[str] = ..., verdict: _Optional[_Union[Verdict, _Mapping]] = ..., rejection: _Optional[_Union[Rejection, _Mapping]] = ...) -> None: ...

class Verdict(_message.Message):
    __slots__ = ("label", "probability", "scores", "evidence", "bundle", "version", "seconds", "doubts")
    class ScoresEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class SecondsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    LABEL_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    DOUBTS_FIELD_NUMBER: _ClassVar[int]
    label: Label
    probability: float
    scores: _containers.ScalarMap[str, float]
    evidence: _struct_pb2.Struct
    bundle: str
    version: str
    seconds: _containers.ScalarMap[str, float]
    doubts: _containers.RepeatedScalarFieldContainer[Doubt]
    def __init__(self, label: _Optional[_Union[Label, str]] = ..., probability: _Optional[float] = ..., scores: _Optional[_Mapping[str, float]] = ..., evidence: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., bundle: _Optional[str] = ..., version: _Optional[str] = ..., seconds: _Optional[_Mapping[str, float]] = ..., doubts: _Optional[_Iterable[_Union[Doubt, str]]] = ...) -> None: ...

class Rejection(_message.Message):
    __slots__ = ("reason", "detail", "about")
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    ABOUT_FIELD_NUMBER: _ClassVar[int]
    reason: Reason
    detail: str
    about: _struct_pb2.Struct
    def __init__(self, reason: _Optional[_Union[Reason, str]] = ..., detail: _Optional[str] = ..., about: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class ListBundlesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListBundlesResponse(_message.Message):
    __slots__ = ("bundles",)
    BUNDLES_FIELD_NUMBER: _ClassVar[int]
    bundles: _containers.RepeatedCompositeFieldContainer[Bundle]
    def __init__(self, bundles: _Optional[_Iterable[_Union[Bundle, _Mapping]]] = ...) -> None: ...

class Bundle(_message.Message):
    __slots__ = ("name", "version", "kind")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    kind: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., kind: _Optional[str] = ...) -> None: ...
