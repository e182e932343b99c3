"""What the partitions of a consumer are sent, in blocks: the client's own objects cost more than all that follows.

librdkafka hands a batch out as pointers to its messages (rdkafka.h, `rd_kafka_consume_batch_queue`). The Python client
makes an object of each, and of its topic, its key and its value. Here the bytes are copied from there into one buffer,
by a compiled loop that leaves the interpreter lock.

The partitions' messages come on a queue of their own; all else that the consumer has to tell, such as a rebalance,
stays with its `poll`, which has to be called as often as ever. The handle of librdkafka is the first member of the
client's object (confluent_kafka.h, `Handle`): so the version of that package is fixed in pyproject.toml.
"""

import ctypes
from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt
from confluent_kafka import Consumer, KafkaError, KafkaException, cimpl
from numba import types

from schemas.compiled import BYTES, FLAGS, NOTHING, NUMBER, ROWS64, WORDS64, compiled, linked
from schemas.message_block import Headers, MessageBlock, Place
from schemas.value_block import Bytes, Ints, ValueBlock

_Pointer, _Size = ctypes.c_void_p, ctypes.c_size_t
# The library that the client is linked to, wherever it came from.
_library = ctypes.CDLL(cimpl.__file__)

# Members of rd_kafka_message_t in words of eight bytes.
_ERROR, _TOPIC, _PARTITION, _VALUE, _VALUE_BYTES, _KEY, _KEY_BYTES, _OFFSET, _ = range(9)
_WORDS = 9
_LOW_HALF = 0xFFFF_FFFF


def _declared(name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(_library, name)
    function.restype, function.argtypes = result, arguments
    return function


_queue_new = _declared("rd_kafka_queue_new", _Pointer, _Pointer)
_queue_destroy = _declared("rd_kafka_queue_destroy", None, _Pointer)
_queue_of_partition = _declared("rd_kafka_queue_get_partition", _Pointer, _Pointer, ctypes.c_char_p, ctypes.c_int32)
_forward = _declared("rd_kafka_queue_forward", None, _Pointer, _Pointer)
_consume_batch = _declared("rd_kafka_consume_batch_queue", ctypes.c_ssize_t, _Pointer, ctypes.c_int, _Pointer, _Size)
_topic_name = _declared("rd_kafka_topic_name", ctypes.c_char_p, _Pointer)
_headers = _declared("rd_kafka_message_headers", ctypes.c_int, _Pointer, _Pointer)
_header = _declared("rd_kafka_header_get_all", ctypes.c_int, _Pointer, _Size, _Pointer, _Pointer, _Pointer)


_copy = linked("memcpy", NUMBER(NUMBER, NUMBER, NUMBER), ctypes.CDLL(None))
_destroy = linked("rd_kafka_message_destroy", NOTHING(NUMBER), _library)
_time = linked("rd_kafka_message_timestamp", NUMBER(NUMBER, NUMBER), _library)
_find_headers = linked("rd_kafka_message_headers", types.int32(NUMBER, NUMBER), _library)


@compiled(NOTHING, WORDS64, ROWS64)
def _read_heads(pointers: Ints, heads: Ints) -> None:
    """Copies the members of each message to `heads`, (n, 9)."""
    for row in range(len(pointers)):
        _copy(heads.ctypes.data + row * _WORDS * 8, pointers[row], _WORDS * 8)


@compiled(NOTHING, ROWS64, NUMBER, NUMBER, BYTES, WORDS64)
def _copy_bytes(heads: Ints, pointer: int, size: int, data: Bytes, starts: Ints) -> None:
    """Puts what each message has at `pointer` one after another; `starts` has to begin with 0."""
    at = 0
    for row in range(len(heads)):
        _copy(data.ctypes.data + at, heads[row, pointer], heads[row, size])
        at += heads[row, size]
        starts[row + 1] = at


@compiled(NOTHING, WORDS64, WORDS64, FLAGS, WORDS64)
def _read_rest(pointers: Ints, times: Ints, has_headers: npt.NDArray[np.bool_], scratch: Ints) -> None:
    """Asks for each message's time and whether it has headers."""
    for row in range(len(pointers)):
        times[row] = _time(pointers[row], scratch.ctypes.data)
        has_headers[row] = _find_headers(pointers[row], scratch.ctypes.data) == 0


@compiled(NOTHING, WORDS64)
def _destroy_all(pointers: Ints) -> None:
    for row in range(len(pointers)):
        _destroy(pointers[row])


class MessageQueue:
    """The messages of those partitions of a consumer that are routed here. Not thread-safe; close it before that."""

    def __init__(self, consumer: Consumer) -> None:
        # Its end waits for the queues to be given back.
        self._consumer = consumer
        self._handle = _Pointer.from_address(id(consumer) + object.__basicsize__)
        self._queue = _Pointer(_queue_new(self._handle))
        self._partitions: dict[Place, Any] = {}
        self._topics: dict[int, str] = {}

    def route(self, places: Collection[Place]) -> None:
        """Takes the messages of these partitions from now on; call it before they are assigned."""
        self.release(places)
        for topic, partition in places:
            of_partition = _Pointer(_queue_of_partition(self._handle, topic.encode(), partition))
            _forward(of_partition, self._queue)
            self._partitions[topic, partition] = of_partition

    def release(self, places: Collection[Place]) -> None:
        """Says that these partitions are not assigned any more."""
        for place in places:
            if place in self._partitions:
                _queue_destroy(self._partitions.pop(place))

    def take(self, most: int, timeout_s: float) -> MessageBlock:
        """Returns what has come when there are so many, or after that time.

        Raises KafkaException for an error that came in place of a message.
        """
        # Where a partition stops, librdkafka takes its queue off, and does so later: even after it was assigned again.
        for of_partition in self._partitions.values():
            _forward(of_partition, self._queue)
        pointers = np.empty(most, np.int64)
        count = _consume_batch(self._queue, int(timeout_s * 1000), pointers.ctypes.data, most)
        pointers = pointers[: max(0, count)]
        try:
            return self._block(pointers)
        finally:
            _destroy_all(pointers)

    def close(self) -> None:
        """Gives the queues back."""
        self.release(list(self._partitions))
        if self._queue:
            _queue_destroy(self._queue)
            self._queue = _Pointer()

    def __del__(self) -> None:
        """Gives back what was not closed."""
        self.close()

    def _block(self, pointers: Ints) -> MessageBlock:
        heads = np.empty((len(pointers), _WORDS), np.int64)
        _read_heads(pointers, heads)
        failed = np.flatnonzero(heads[:, _ERROR] & _LOW_HALF)
        if len(failed):
            _, _, _, text, size, *_ = heads[failed[0]].tolist()
            code = ctypes.c_int32(heads[failed[0], _ERROR] & _LOW_HALF).value
            raise KafkaException(KafkaError(code, ctypes.string_at(text, size).decode(errors="replace")))
        times, has_headers = np.empty(len(pointers), np.int64), np.empty(len(pointers), np.bool_)
        _read_rest(pointers, times, has_headers, np.empty(1, np.int64))
        places, place = self._places(heads)
        return MessageBlock(
            places, place, heads[:, _OFFSET].copy(), times, _copied(heads, _KEY, _KEY_BYTES),
            _copied(heads, _VALUE, _VALUE_BYTES),
            {row: _headers_of(int(pointers[row])) for row in np.flatnonzero(has_headers).tolist()},
        )  # fmt: skip

    def _places(self, heads: Ints) -> tuple[tuple[Place, ...], npt.NDArray[np.int32]]:
        topics, partitions = heads[:, _TOPIC], heads[:, _PARTITION] & _LOW_HALF
        changes = np.ones(len(heads), np.bool_)
        changes[1:] = (topics[1:] != topics[:-1]) | (partitions[1:] != partitions[:-1])
        firsts = np.flatnonzero(changes)
        of_runs = [(self._topic(int(topics[row])), int(partitions[row])) for row in firsts]
        numbers = {place: number for number, place in enumerate(dict.fromkeys(of_runs))}
        runs = np.array([numbers[place] for place in of_runs], np.int32)
        return tuple(numbers), np.repeat(runs, np.diff([*firsts, len(heads)]))

    def _topic(self, pointer: int) -> str:
        if pointer not in self._topics:
            self._topics[pointer] = _topic_name(pointer).decode()
        return self._topics[pointer]


def _copied(heads: Ints, pointer: int, size: int) -> ValueBlock:
    starts = np.zeros(len(heads) + 1, np.int64)
    data = np.empty(int(heads[:, size].sum()), np.uint8)
    _copy_bytes(heads, pointer, size, data, starts)
    return ValueBlock(data, starts, heads[:, pointer] != 0)


def _headers_of(message: int) -> Headers:
    found, name, value, size = _Pointer(), ctypes.c_char_p(), _Pointer(), _Size()
    _headers(message, ctypes.byref(found))
    headers: list[tuple[str, bytes | None]] = []
    while not _header(found, len(headers), ctypes.byref(name), ctypes.byref(value), ctypes.byref(size)):
        content = ctypes.string_at(value.value, size.value) if value.value is not None else None
        headers.append(((name.value or b"").decode(errors="replace"), content))
    return tuple(headers)
