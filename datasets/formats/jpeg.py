"""JPEG files that no decoder here reads: which they are."""

# Frames by the last digit of their marker (ITU T.81, table B.1).
_DECODED = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}
_OTHERS = {0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF}
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_START_OF_SCAN, _END = 0xDA, 0xD9


def is_jpeg(data: bytes) -> bool:
    """Check whether a file begins as a JPEG file."""
    return data.startswith(b"\xff\xd8\xff")


def undecodable(data: bytes) -> str | None:
    """Tell what keeps a JPEG file from being decoded, if it is the kind of file and no damage."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:
            place += 1
        elif marker in _WITHOUT_LENGTH:
            place += 2
        elif marker in (_START_OF_SCAN, _END):
            return None
        elif marker in _OTHERS:
            return "a JPEG file of a kind that is not read (lossless or hierarchical)"
        elif marker in _DECODED:
            bits = data[place + 4] if place + 4 < len(data) else 8
            return None if bits == 8 else f"a JPEG file of {bits} bits a sample"
        else:
            place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return None
