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

from schemas.compiled import BYTES, NOTHING, NUMBER, ROWS64, ROWS_OF_FLAGS, WORDS64, byte_at, compiled, linked, word_at
from schemas.message_block import Headers, MessageBlock, Place
from schemas.value_block import Bytes, Ints, ValueBlock

_Pointer, _Size = ctypes.c_void_p, ctypes.c_size_t
# The library that the client is linked to, wherever it came from.
_library = ctypes.CDLL(cimpl.__file__)

# Members of rd_kafka_message_t, words of eight bytes.
_ERROR, _TOPIC, _PARTITION, _VALUE, _VALUE_BYTES, _KEY, _KEY_BYTES, _OFFSET = range(0, 64, 8)
_LOW_HALF = 0xFFFF_FFFF
_ROOM_BYTES = 2**20
"""For keys, and for values, of a block at first."""
_BURST = 1_024
"""So many messages are given back at a time: the client's thread makes others in the same heap meanwhile, and each time
that one of the two finds it locked costs both a switch of threads (a fifth of reading, when each went back by itself).
"""


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


# Rows of what is read of each message: of `numbers`, of `ends` and of `flags`, and of `flags` alone.
_OF_TOPIC, _OF_PARTITION, _OF_OFFSET, _OF_TIME = range(4)
_OF_KEY, _OF_VALUE = range(2)
_OF_HEADERS = 2


@compiled(NUMBER, WORDS64, NUMBER, BYTES, BYTES, ROWS64, ROWS64, ROWS_OF_FLAGS)
def _read(  # noqa: PLR0917 - compiled functions take no names
    pointers: Ints, first: int, keys: Bytes, values: Bytes, ends: Ints, numbers: Ints, flags: npt.NDArray[np.bool_]
) -> int:
    """Reads messages from the first on; returns the row of one that is an error or finds no room, else their number.

    Key and value go behind those before; `ends` have to begin with 0. A message that is done with is given back soon,
    while what it holds is near, and its pointer is 0 then. Not so one with headers, nor the first of each run of a
    topic: it keeps the topic's name. Shapes: `pointers` (n,), `ends` (2, n + 1), `numbers` (4, n), `flags` (3, n).
    """
    beside = np.empty(1, np.int64)
    for row in range(first, len(pointers)):
        message = pointers[row]
        key, value = ends[_OF_KEY, row], ends[_OF_VALUE, row]
        key_bytes, value_bytes = word_at(message + _KEY_BYTES), word_at(message + _VALUE_BYTES)
        ends[_OF_KEY, row + 1], ends[_OF_VALUE, row + 1] = key + key_bytes, value + value_bytes
        is_error = word_at(message + _ERROR) & _LOW_HALF
        if is_error or key + key_bytes > len(keys) or value + value_bytes > len(values):
            return row
        key_at, value_at = word_at(message + _KEY), word_at(message + _VALUE)
        _copy(keys.ctypes.data + key, key_at, key_bytes)
        _copy(values.ctypes.data + value, value_at, value_bytes)
        numbers[_OF_TOPIC, row] = word_at(message + _TOPIC)
        numbers[_OF_PARTITION, row] = word_at(message + _PARTITION) & _LOW_HALF
        numbers[_OF_OFFSET, row] = word_at(message + _OFFSET)
        numbers[_OF_TIME, row] = _time(message, beside.ctypes.data)
        flags[_OF_KEY, row], flags[_OF_VALUE, row] = key_at != 0, value_at != 0
        # librdkafka leaves a value where it was fetched, if it is not empty: behind it the record has its number of
        # headers, and most have none (Kafka protocol, "Record"). Asking for them takes a sixth of all reading's time.
        is_told = value_bytes > 0 and byte_at(value_at + value_bytes) == 0
        flags[_OF_HEADERS, row] = not is_told and _find_headers(message, beside.ctypes.data) == 0
        if (row + 1) % _BURST == 0 or row + 1 == len(pointers):
            for done in range(max(1, first, row // _BURST * _BURST), row + 1):
                is_next = numbers[_OF_TOPIC, done] == numbers[_OF_TOPIC, done - 1]
                if is_next and not flags[_OF_HEADERS, done]:
                    _destroy(pointers[done])
                    pointers[done] = 0
    return len(pointers)


@compiled(NOTHING, WORDS64)
def _destroy_all(pointers: Ints) -> None:
    for row in range(len(pointers)):
        if pointers[row]:
            _destroy(pointers[row])


class MessageQueue:
    """The messages of those partitions of a consumer that are routed here. Not thread-safe; close it before that."""

    def __init__(self, consumer: Consumer) -> None:
        # Its end waits for the queues to be given back.
        self._consumer = consumer
        self._handle = _Pointer.from_address(id(consumer) + object.__basicsize__)
        self._queue = _Pointer(_queue_new(self._handle))
        self._partitions: dict[Place, Any] = {}
        self._room: tuple[Bytes, Bytes] = np.empty(_ROOM_BYTES, np.uint8), np.empty(_ROOM_BYTES, np.uint8)

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
        count, row = len(pointers), 0
        ends, numbers = np.zeros((2, count + 1), np.int64), np.empty((4, count), np.int64)
        flags = np.empty((3, count), np.bool_)
        while (row := _read(pointers, row, self._room[0], self._room[1], ends, numbers, flags)) < count:
            _raise_error(int(pointers[row]))
            of_keys, of_values = ends[:, row + 1].tolist()
            self._room = _with_room(self._room[0], of_keys), _with_room(self._room[1], of_values)
        keys, values = (
            ValueBlock(room[: starts[-1]].copy(), starts, is_set)
            for room, starts, is_set in zip(self._room, ends, flags, strict=False)
        )
        with_headers = np.flatnonzero(flags[_OF_HEADERS]).tolist()
        places, place = _places(numbers[_OF_TOPIC], numbers[_OF_PARTITION])
        return MessageBlock(
            places, place, numbers[_OF_OFFSET].copy(), numbers[_OF_TIME].copy(), keys, values,
            {row: _headers_of(int(pointers[row])) for row in with_headers},
        )  # fmt: skip


def _places(topics: Ints, partitions: Ints) -> tuple[tuple[Place, ...], npt.NDArray[np.int32]]:
    changes = np.ones(len(topics), np.bool_)
    changes[1:] = (topics[1:] != topics[:-1]) | (partitions[1:] != partitions[:-1])
    firsts = np.flatnonzero(changes)
    names = {pointer: _topic_name(pointer).decode() for pointer in np.unique(topics[firsts]).tolist()}
    of_runs = [
        (names[topic], partition)
        for topic, partition in zip(topics[firsts].tolist(), partitions[firsts].tolist(), strict=True)
    ]
    numbers = {place: number for number, place in enumerate(dict.fromkeys(of_runs))}
    runs = np.array([numbers[place] for place in of_runs], np.int32)
    return tuple(numbers), np.repeat(runs, np.diff([*firsts, len(topics)]))


def _raise_error(message: int) -> None:
    """Raises KafkaException for what is an error in place of a message."""
    if code := ctypes.c_int32.from_address(message + _ERROR).value:
        at, size = (ctypes.c_int64.from_address(message + member).value for member in (_VALUE, _VALUE_BYTES))
        raise KafkaException(KafkaError(code, ctypes.string_at(at, size).decode(errors="replace")))


def _with_room(room: Bytes, wanted: int) -> Bytes:
    """Returns the bytes with room for so many and more behind them."""
    if wanted <= len(room):
        return room
    larger = np.empty(2 * wanted, np.uint8)
    larger[: len(room)] = room
    return larger


def _headers_of(message: int) -> Headers:
    found, name, value, size = _Pointer(), ctypes.c_char_p(), _Pointer(), _Size()
    _headers(message, ctypes.byref(found))
    headers: list[tuple[str, bytes | None]] = []
    while not _header(found, len(headers), ctypes.byref(name), ctypes.byref(value), ctypes.byref(size)):
        content = ctypes.string_at(value.value, size.value) if value.value is not None else None
        headers.append(((name.value or b"").decode(errors="replace"), content))
    return tuple(headers)
