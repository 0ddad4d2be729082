"""The CRC-32 of two pieces put together, from that of each, as zlib has it and Python has not. Pure.

A checksum is a polynomial over one bit; n zero bytes behind a text multiply it by x to the 8n-th. That is a
power of matrices, found by squaring, in as many steps as n has digits in binary.
"""

import base64

_POLYNOMIAL = 0xEDB88320  # CRC-32 as zip, gzip and S3 have it, bits reversed


def crc32_combine(first: int, second: int, length: int) -> int:
    """The CRC-32 of a text whose beginning has `first` and whose rest, of `length` bytes, has `second`."""
    if length == 0:
        return first
    # One zero bit behind the text, then squared three times: one zero byte.
    matrix = [_POLYNOMIAL, *(1 << bit for bit in range(31))]
    for _ in range(3):
        matrix = _square(matrix)
    while True:
        if length & 1:
            first = _times(matrix, first)
        length >>= 1
        if not length:
            return first ^ second
        matrix = _square(matrix)


def _times(matrix: list[int], vector: int) -> int:
    product = bit = 0
    while vector:
        if vector & 1:
            product ^= matrix[bit]
        vector >>= 1
        bit += 1
    return product


def _square(matrix: list[int]) -> list[int]:
    return [_times(matrix, row) for row in matrix]


def from_s3(said: str) -> int:
    """A CRC-32 as S3 writes it (base64 of four bytes, the highest first), as a number."""
    return int.from_bytes(base64.b64decode(said), "big")
