#!/usr/bin/env python3
"""An independent reader of .cask archives, written from docs/format.md alone.

    reader.py ARCHIVE [--identity AGE-SECRET-KEY-1…]… [--passphrase P]… [--gpg] [--key-command C] [--rows STREAM]
    reader.py --check [FOLDER]      compares every vector with its expectation file

Needs the packages cryptography, zstandard and argon2-cffi.
"""

import argparse
import base64
import hashlib
import hmac
import os
import pathlib
import struct
import subprocess
import sys
import zlib

import zstandard
from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

SECTION, CHUNK, PAGE, ROOT = 1, 2, 3, 4
MAX_COLUMNAR = 16 << 20
MAX_PLAIN = {SECTION: 1 << 20, CHUNK: (1 << 30) - 1 + (1 << 20), PAGE: 8 << 20, ROOT: 256 << 20}


class Refused(Exception):
    """The archive is damaged, not authentic, or not for us."""


def need(condition, why):
    if not condition:
        raise Refused(why)


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        need(self.at + count <= len(self.data), "the data ends early")
        piece = self.data[self.at : self.at + count]
        self.at += count
        return piece

    def get(self, form):
        values = struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))
        return values[0] if len(values) == 1 else values

    def done(self):
        need(self.at == len(self.data), "bytes are left over")


def hkdf_extract(salt, secret):
    return hmac.digest(salt or bytes(32), secret, "sha256")


def hkdf_expand(prk, info, length):
    out, block, count = b"", b"", 1
    while len(out) < length:
        block = hmac.digest(prk, block + info + bytes([count]), "sha256")
        out, count = out + block, count + 1
    return out[:length]


# --- age (age-encryption.org/v1), X25519 recipients only -------------------------------------------------------------


def rows_of_columns(data, rows, place):
    values = data.split(b"\n")
    need(values.pop() == b"" and b"\t" not in data, f"{place}: malformed columns")
    need(rows > 0 and len(values) % rows == 0, f"{place}: malformed columns")
    columns = [values[at : at + rows] for at in range(0, len(values), rows)]
    return b"".join(b"\t".join(row) + b"\n" for row in zip(*columns))


def timestamp(number, behind):
    date, micros = divmod(number, 86_400_000_000)
    seconds, micros = divmod(micros, 1_000_000)
    clock = f" {seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return day(date) + clock + (f".{micros:06}".rstrip("0") if micros else "") + behind


def day(number):
    need(0 <= number >> 9 <= 9999, "malformed date")
    return f"{number >> 9:04}-{number >> 5 & 15:02}-{number & 31:02}"


def decimal(number, scale):
    digits = f"{abs(number):0{scale + 1}}"
    return ("-" if number < 0 else "") + (digits[:-scale] + "." + digits[-scale:] if scale else digits)


def numbers(lanes, kind, scale, flags, width, base, rows):
    nulls = lanes.take(rows) if flags & 2 else bytes(rows)
    planes = [lanes.take(rows) for _ in range(width)]
    last = base
    for row in range(rows):
        offset = sum(plane[row] << 8 * at for at, plane in enumerate(planes))
        last = last + ((offset >> 1) ^ -(offset & 1)) if flags & 1 else base + offset
        last = (last + (1 << 63)) % (1 << 64) - (1 << 63)
        texts = (lambda: decimal(last, scale), lambda: day(last), lambda: timestamp(last, ""), lambda: timestamp(last, "+00"))
        yield b"\\N" if nulls[row] == 1 else texts[kind]().encode()


def text_of_encoded(laid, count, rows, place):
    """The columns as text, one after another."""
    heads = Reader(laid)
    heads = [heads.get("BBBBB3sq") for _ in range(count)]
    joined = Reader(laid[16 * count :])
    lanes = Reader(joined.data[sum(head[6] for head in heads if head[0] == 0) :])
    joined.data = joined.data[: len(joined.data) - len(lanes.data)]
    out = []
    for encoding, kind, scale, flags, width, zero, base in heads:
        need(zero == bytes(3) and encoding <= 3 and kind <= 3 and width <= 8, f"{place}: malformed columns")
        if encoding < 2:
            out.append((lanes if encoding else joined).take(base))
        elif encoding == 2:
            values = []
            for _ in range(base):
                values.append(lanes.take(lanes.data.index(b"\n", lanes.at) + 1 - lanes.at))
            out.extend(values[code] for code in lanes.take(rows))
        else:
            out.extend(value + b"\n" for value in numbers(lanes, kind, scale, flags, width, base, rows))
    joined.done(), lanes.done()
    return b"".join(out)


def unpack_all(data, length):
    """Frames, one behind another."""
    out = b""
    while data:
        one = zstandard.ZstdDecompressor().decompressobj()
        out += one.decompress(data)
        data = one.unused_data
    need(len(out) == length, "wrong unpacked length")
    return out


def bech32_payload(text):
    text = text.lower()
    letters = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
    values = [letters.index(letter) for letter in text[text.rindex("1") + 1 : -6]]
    number, bits, out = 0, 0, bytearray()
    for value in values:
        number, bits = (number << 5 | value) & 0xFFF, bits + 5
        if bits >= 8:
            bits -= 8
            out.append(number >> bits & 0xFF)
    return bytes(out)


def unbase64(text):
    import base64

    return base64.b64decode(text + "=" * (-len(text) % 4))


def age_open(data, identity):
    """The content of a small age file, or None when it is for somebody else."""
    lines, at = [], 0
    while True:
        end = data.index(b"\n", at)
        lines.append(data[at:end].decode())
        at = end + 1
        if lines[-1].startswith("---"):
            break
    need(lines[0] == "age-encryption.org/v1", "not an age file")
    secret = X25519PrivateKey.from_private_bytes(bech32_payload(identity))
    public = secret.public_key().public_bytes_raw()
    file_key = None
    for number, line in enumerate(lines):
        if line.startswith("-> X25519 "):
            share = unbase64(line.split(" ")[2])
            shared = secret.exchange(X25519PublicKey.from_public_bytes(share))
            prk = hkdf_extract(share + public, shared)
            key = hkdf_expand(prk, b"age-encryption.org/v1/X25519", 32)
            try:
                file_key = ChaCha20Poly1305(key).decrypt(bytes(12), unbase64(lines[number + 1]), None)
            except InvalidTag:
                continue
    if file_key is None:
        return None
    header = data[: data.index(b"\n---") + 4]
    mac = hmac.digest(hkdf_expand(hkdf_extract(b"", file_key), b"header", 32), header, "sha256")
    need(hmac.compare_digest(mac, unbase64(lines[-1].split(" ")[1])), "an age header is not authentic")
    key = hkdf_expand(hkdf_extract(data[at : at + 16], file_key), b"payload", 32)
    return ChaCha20Poly1305(key).decrypt(bytes(11) + b"\x01", data[at + 16 :], None)


# --- the header and the keys -----------------------------------------------------------------------------------------


def read_stanzas(reader, count):
    need(1 <= count <= 64, "the number of stanzas is wrong")
    for _ in range(count):
        kind, zero, length, fingerprint = reader.get("HHI8s")
        need(zero == 0 and length <= 8192, "a stanza is malformed")
        yield kind, fingerprint, reader.take(length)


class AddedKeys:
    """An object `<archive>.keys-<n>`."""

    def __init__(self, data):
        need(len(data) <= 1 << 20 and data[:8] == b"\x89CASKK\r\n", "not added keys")
        need(zlib.crc32(data[:-4]) == struct.unpack("<I", data[-4:])[0], "the CRC of added keys is wrong")
        self.raw = data
        reader = Reader(data[:-36])
        _, version, zero, length, self.id, _, count, zero2 = reader.get("8sHHI16sqHH")
        need((version, zero, zero2, length) == (1, 0, 0, len(data)), "added keys are malformed")
        self.stanzas = list(read_stanzas(reader, count))
        reader.done()
        need(all(kind != 0 for kind, _, _ in self.stanzas), "a clear key among added ones")

    def is_authentic(self, keys):
        return hmac.compare_digest(hmac.digest(keys.beside, self.raw[:-36], "sha256"), self.raw[-36:-4])


def added_beside(path):
    """Their bytes, numbered from 1 without a gap."""
    for number in range(1, 257):
        beside = pathlib.Path(f"{path}.keys-{number}")
        if not beside.exists():
            return
        yield beside.read_bytes()


class Header:
    def __init__(self, data):
        need(data[:8] == b"\x89CASK\r\n\x1a", "not an archive")
        length = struct.unpack_from("<I", data, 12)[0]
        need(112 <= length <= 1 << 20 and length <= len(data), "the header's length is wrong")
        self.raw = data[:length]
        need(zlib.crc32(self.raw[:-4]) == struct.unpack("<I", self.raw[-4:])[0], "the header's CRC is wrong")
        reader = Reader(self.raw[:-4])
        _, version, self.flags, _, self.id, self.created, count, zero = reader.get("8sHHI16sqHH")
        need(version == 1, "another version")
        need(self.flags in (0, 1) and zero == 0, "the header is malformed")
        self.stanzas = list(read_stanzas(reader, count))
        self.commitment, self.mac = reader.get("32s32s")
        reader.done()

    def unlock(self, identities, passphrases, programs, added=()):
        def fitting(stanzas):
            for kind, _, body in stanzas:
                for data_key in self.candidates(kind, body, identities, passphrases, programs):
                    keys = Keys(data_key, self.id)
                    if keys.commitment == self.commitment:
                        mac = hmac.digest(keys.header, self.raw[:-36], "sha256")
                        need(hmac.compare_digest(mac, self.mac), "the header is not authentic")
                        yield keys

        for keys in fitting(self.stanzas):
            return keys
        # Only who had the data key can have added one.
        for one in map(AddedKeys, added if self.flags & 1 else ()):
            for keys in fitting(one.stanzas if one.id == self.id else []):
                need(one.is_authentic(keys), "added keys are not authentic")
                return keys
        raise Refused("no key fits")

    def candidates(self, kind, body, identities, passphrases, programs):
        if kind == 0:
            need(self.flags == 0, "a clear key in an encrypted archive")
            yield body
        elif kind == 1:
            salt, memory, passes, lanes, wrapped = struct.unpack("<16sIII48s", body)
            need(memory <= 65536 and passes <= 16 and lanes <= 16, "Argon2id out of bounds")
            for passphrase in passphrases:
                key = hash_secret_raw(passphrase.encode(), salt, passes, memory, lanes, 32, Type.ID)
                try:
                    yield AESGCM(key).decrypt(bytes(12), wrapped, b"pgcask/v1/passphrase" + self.id)
                except InvalidTag:
                    pass
        elif kind == 2:
            for identity in identities:
                data_key = age_open(body, identity)
                if data_key is not None:
                    yield data_key
        elif kind in programs:
            data_key = programs[kind](body, self.id)
            if data_key is not None and len(data_key) == 32:
                yield data_key


def ask_gpg(body, _):
    """Kind 3 is a message that gpg opens."""
    gpg = subprocess.run(["gpg", "--batch", "--quiet", "--decrypt"], input=body, capture_output=True, check=False)
    return gpg.stdout if gpg.returncode == 0 else None


def ask_command(command):
    """Kind 4 is a text that a command made; docs/keys.md has the contract."""

    def ask(body, archive_id):
        told = dict(os.environ, PGCASK_KEY_OPERATION="unwrap", PGCASK_ARCHIVE_ID=archive_id.hex())
        asked = subprocess.run(["sh", "-c", command], input=body.strip(), capture_output=True, env=told, check=False)
        need(asked.returncode in (0, 10), "the key command failed")
        return base64.b64decode(asked.stdout) if asked.returncode == 0 else None

    return ask


class Keys:
    def __init__(self, data_key, archive_id):
        prk = hkdf_extract(archive_id, data_key)
        self.frame = AESGCM(hkdf_expand(prk, b"pgcask/v1/frame", 32))
        self.nonce = hkdf_expand(prk, b"pgcask/v1/frame-nonce", 4)
        self.commitment = hkdf_expand(prk, b"pgcask/v1/commitment", 32)
        self.header = hkdf_expand(prk, b"pgcask/v1/header", 32)
        self.footer = hkdf_expand(prk, b"pgcask/v1/footer", 32)
        self.beside = hkdf_expand(prk, b"pgcask/v1/beside", 32)


# --- the archive -----------------------------------------------------------------------------------------------------


class Archive:
    def __init__(self, data, identities, passphrases, programs=None, added=()):
        self.data = data
        need(data[:8] == b"\x89CASK\r\n\x1a", "not an archive")
        footer = data[-100:]
        need(len(data) >= 212 and footer[:8] == b"CASKEND\n", "the archive is incomplete")
        need(zlib.crc32(footer[:96]) == struct.unpack("<I", footer[96:])[0], "the footer's CRC is wrong")
        version, flags, header_length, archive_id = struct.unpack_from("<HHI16s", footer, 8)
        length, self.frames, root_at, root_length, zero = struct.unpack_from("<QQQII", footer, 32)
        need(version == 1 and zero == 0, "the footer is malformed")
        need(length == len(data) == root_at + root_length + header_length + 100, "the length is wrong")
        copy = data[root_at + root_length : -100]
        self.header = Header(copy)
        need(self.header.raw == copy == data[:header_length], "the header and its copy differ")
        need((self.header.id, self.header.flags) == (archive_id, flags), "the footer is another archive's")
        self.keys = self.header.unlock(identities, passphrases, programs or {}, added)
        mac = hmac.digest(self.keys.footer, footer[:64], "sha256")
        need(hmac.compare_digest(mac, footer[64:96]), "the footer is not authentic")
        self.read_root(self.open((ROOT, self.frames - 1, root_at, root_length))[1])

    def open(self, where):
        """The prefix and the plain data of the frame that must be there."""
        kind, sequence, offset, length = where
        frame = self.data[offset : offset + length]
        magic, got, zero, body_length, number, body_crc, own_crc = struct.unpack_from("<4sB3sIQII", frame)
        place = f"frame {sequence} at offset {offset}"
        need(magic == b"CSKF" and own_crc == zlib.crc32(frame[:24]), f"{place}: damaged header")
        need((got, zero, number, body_length + 28) == (kind, bytes(3), sequence, length), f"{place}: misplaced")
        body = frame[28:]
        need(len(body) == body_length and zlib.crc32(body) == body_crc, f"{place}: damaged")
        if self.header.flags & 1:
            nonce = self.keys.nonce + struct.pack(">Q", sequence)
            try:
                body = self.keys.frame.decrypt(nonce, body, self.header.id + frame[:20])
            except InvalidTag:
                raise Refused(f"{place}: not authentic") from None
        codec, prefix_length, zero, plain_length = struct.unpack_from("<BBHI", body)
        need(zero == 0 and prefix_length <= 64 and plain_length <= MAX_PLAIN[kind], f"{place}: malformed")
        prefix, data = body[8 : 8 + prefix_length], body[8 + prefix_length :]
        if codec == 1:
            data = zstandard.ZstdDecompressor().decompress(data, max_output_size=plain_length)
        elif codec == 2:
            need(kind == CHUNK and plain_length <= MAX_COLUMNAR, f"{place}: malformed")
            data = zstandard.ZstdDecompressor().decompress(data, max_output_size=plain_length)
            data = rows_of_columns(data, struct.unpack_from("<I", prefix, 8)[0], place)
        elif codec == 3:
            need(kind == CHUNK and plain_length <= MAX_COLUMNAR, f"{place}: malformed")
            laid, count, zero = struct.unpack_from("<IHH", data)
            rows = struct.unpack_from("<I", prefix, 8)[0]
            need(zero == 0 and laid <= plain_length + 16 * count and count * rows <= plain_length, f"{place}: malformed")
            data = text_of_encoded(unpack_all(data[8:], laid), count, rows, place)
            data = rows_of_columns(data, rows, place)
        else:
            need(codec == 0, f"{place}: unknown codec")
        need(len(data) == plain_length, f"{place}: wrong plain length")
        return prefix, data

    def read_root(self, data):
        reader = Reader(data)
        version, zero, frames, count = reader.get("HHQI")
        need((version, zero, frames) == (1, 0, self.frames - 1), "the root is malformed")
        self.pages = [reader.get("QQII") for _ in range(count)]
        self.streams = []
        for _ in range(reader.get("I")):
            number, chunks, rows, plain, _sealed, total, name_length = reader.get("IQQQQ16sH")
            name = reader.take(name_length)
            refs = [reader.get("II") for _ in range(reader.get("I"))]
            self.streams.append((number, name, chunks, rows, plain, int.from_bytes(total, "little"), refs))
        self.sections = []
        for _ in range(reader.get("I")):
            tag, version, zero, size, parts = reader.get("4sHHQI")
            need(zero == 0, "a section is malformed")
            self.sections.append((tag, version, size, [reader.get("QQI") for _ in range(parts)]))
        reader.take(reader.get("I"))
        reader.done()

    def entries(self, stream, refs):
        found = []
        for page, expected in refs:
            sequence, offset, length, _ = self.pages[page]
            reader = Reader(self.open((PAGE, sequence, offset, length))[1])
            version, zero, runs = reader.get("HHI")
            need((version, zero) == (1, 0), "a page is malformed")
            before = len(found)
            for _ in range(runs):
                owner, count = reader.get("II")
                for _ in range(count):
                    entry = reader.get("IQQIII16sH")
                    reader.take(entry[-1])
                    if owner == stream:
                        found.append(entry)
            reader.done()
            need(len(found) - before == expected, "a page has other entries than the root says")
        return sorted(found)

    def rows(self, stream):
        """The data of one stream, in the order of the chunks' numbers, with all its sums checked."""
        number, _, chunks, rows, plain, total, refs = stream
        out, seen_rows, seen_total = [], 0, 0
        for chunk, sequence, offset, length, size, count, digest, _ in self.entries(number, refs):
            prefix, data = self.open((CHUNK, sequence, offset, length))
            need(struct.unpack("<IIII", prefix) == (number, chunk, count, 0), "a chunk belongs elsewhere")
            need(len(data) == size, "a chunk has another length")
            out.append(data)
            seen_rows += count
            seen_total = (seen_total + int.from_bytes(digest, "little")) % (1 << 128)
        data = b"".join(out)
        need((len(out), seen_rows, len(data), seen_total) == (chunks, rows, plain, total), "the sums are wrong")
        return data

    def section(self, section):
        tag, version, size, parts = section
        out = []
        for number, (sequence, offset, length) in enumerate(parts):
            prefix, data = self.open((SECTION, sequence, offset, length))
            need(struct.unpack("<4sHHI", prefix) == (tag, version, 0, number), "a part belongs elsewhere")
            out.append(data)
        need(sum(map(len, out)) == size, "a section has another length")
        return b"".join(out)

    def walk(self):
        """Frames follow one another without a gap, from the header to the root."""
        at, header = len(self.header.raw), self.header
        for sequence in range(self.frames):
            need(self.data[at : at + 4] == b"CSKF", f"no frame {sequence} at offset {at}")
            kind, length = struct.unpack_from("<B3xI", self.data, at + 4)
            need(kind in MAX_PLAIN, f"frame {sequence} has an unknown kind")
            self.open((kind, sequence, at, length + 28))
            at += length + 28
        need(self.data[at : at + len(header.raw)] == header.raw, "the root is not the last frame")

    def describe(self):
        self.walk()
        digest = lambda data: hashlib.sha256(data).hexdigest()
        yield f"archive: {self.header.id.hex()} {digest(self.data)}"
        yield f"header: {str(self.header.flags == 1).lower()} {self.header.created}"
        for section in self.sections:
            tag, version, size, _ = section
            yield f"section: {tag.decode()} {version} {size} {digest(self.section(section))}"
        for stream in self.streams:
            number, name, chunks, rows, plain, total, _ = stream
            yield f"stream: {number} {name.decode()} {chunks} {rows} {plain} {total:032x} {digest(self.rows(stream))}"


def check(folder):
    failed, paths = 0, sorted(pathlib.Path(folder).glob("*.cask"))
    for path in paths:
        lines = path.with_suffix(".txt").read_text(encoding="utf-8").splitlines()
        value = lambda key: [line[len(key) :] for line in lines if line.startswith(key)]
        expected = [line for line in lines if not line.startswith(("identity: ", "passphrase: "))]
        try:
            found = list(Archive(path.read_bytes(), value("identity: "), value("passphrase: ")).describe())
        except Refused as why:
            found = [f"error: {why}"]
        # Readers word their errors as they like; that they refuse is what counts.
        refused = expected[0].startswith("error: ") and found[0].startswith("error: ")
        good = refused or found == expected
        failed += not good
        print(f"{'ok  ' if good else 'FAIL'} {path.name:28} {found[0]}")
    return 1 if failed or not paths else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", nargs="?")
    parser.add_argument("--identity", action="append", default=[])
    parser.add_argument("--passphrase", action="append", default=[])
    parser.add_argument("--gpg", action="store_true")
    parser.add_argument("--key-command", metavar="COMMAND")
    parser.add_argument("--rows", type=int, metavar="STREAM")
    parser.add_argument("--check", nargs="?", const=pathlib.Path(__file__).parent, metavar="FOLDER")
    options = parser.parse_args()
    if options.check:
        return check(options.check)
    try:
        programs = {3: ask_gpg} if options.gpg else {}
        if options.key_command:
            programs[4] = ask_command(options.key_command)
        data = pathlib.Path(options.archive).read_bytes()
        added = list(added_beside(options.archive))
        archive = Archive(data, options.identity, options.passphrase, programs, added)
        if options.rows is None:
            print("\n".join(archive.describe()))
        else:
            stream = next(stream for stream in archive.streams if stream[0] == options.rows)
            sys.stdout.buffer.write(archive.rows(stream))
    except Refused as why:
        print(f"refused: {why}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
