"""The blobs are the bot's own format, and no secret shows in what goes wrong."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import traceback

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from shared.crypto import (
    AuthenticationFailedError,
    BlobTooShortError,
    Credentials,
    EncryptionKeyError,
    Keyring,
    NotTextError,
    SealedCredentials,
    UndecryptableError,
    hash_api_key,
    parse_key,
)

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
OTHER_KEY = base64.b64encode(bytes(range(100, 132))).decode()

# Made with another implementation of AES-GCM and opened by the bot's own.
VECTORS = {
    "api_key_64": (
        "TESTKEY0" * 8,
        (
            "000102030405060708090a0b1347854f8ea09b2bd904c4dffaac215dd793d460bb3e064c6c22b6d1562c59825555fda8"
            "e4844ba820e12cb9c3c27108ba1c33d91193faea6bd2794d53a6acdebe228240192fd6e1da5b2cf06226be1d"
        ),
    ),
    "empty_string": ("", "0c0d0e0f1011121314151617fc8d48fc4feb40fb574135e84e3886b7"),
    "utf8_passphrase": (
        "p@ss phräse ₿",
        "cafebabefacedbaddecaf888fae3d3558a0a276985af2eb85bff0b80a2833e14b016627d0a450bfed4894251",
    ),
}


@pytest.mark.parametrize(("plaintext", "blob"), VECTORS.values(), ids=VECTORS)
def test_reads_what_the_bot_wrote(plaintext, blob):
    """Each published vector decrypts to its plaintext."""
    assert Keyring([KEY]).decrypt(bytes.fromhex(blob)) == plaintext


@pytest.mark.parametrize(("plaintext", "blob"), VECTORS.values(), ids=VECTORS)
def test_writes_what_the_bot_would_write(plaintext, blob, monkeypatch):
    """With the vector's nonce, encryption gives the vector's blob byte for byte."""
    nonce = bytes.fromhex(blob)[:12]
    monkeypatch.setattr(os, "urandom", lambda size: nonce[:size])
    assert Keyring([KEY]).encrypt(plaintext).hex() == blob


@given(st.text())
def test_round_trip(text):
    """Whatever text goes in comes out, 28 bytes longer in between."""
    ring = Keyring([KEY])
    blob = ring.encrypt(text)
    assert len(blob) == len(text.encode()) + 28
    assert ring.decrypt(blob) == text


@given(st.binary(max_size=200))
def test_foreign_bytes_are_an_isolated_error(blob):
    """Any other content of the column (seeds hold plaintext) is one account's error, nothing worse."""
    with pytest.raises(UndecryptableError):
        Keyring([KEY]).decrypt(blob)


@given(st.text(max_size=40), st.data())
def test_one_changed_bit_is_noticed(text, data):
    """A blob altered anywhere does not open."""
    blob = bytearray(Keyring([KEY]).encrypt(text))
    bit = data.draw(st.integers(0, len(blob) * 8 - 1))
    blob[bit // 8] ^= 1 << bit % 8
    with pytest.raises(AuthenticationFailedError):
        Keyring([KEY]).decrypt(bytes(blob))


def test_short_blobs_say_which_of_the_two_errors_they_are():
    """Below 12 bytes there is no nonce; from 12 to 27 bytes the tag cannot fit."""
    ring = Keyring([KEY])
    for size in (0, 1, 11):
        with pytest.raises(BlobTooShortError, match=f"{size} bytes"):
            ring.decrypt(bytes(size))
    for size in (12, 27):
        with pytest.raises(AuthenticationFailedError):
            ring.decrypt(bytes(size))


def test_a_nonce_is_never_used_twice():
    """Encrypting the same text repeatedly gives different nonces."""
    ring = Keyring([KEY])
    assert len({ring.encrypt("same")[:12] for _ in range(1000)}) == 1000


def test_former_keys_read_and_the_first_writes():
    """After a rotation the ring opens old blobs, and what it writes opens with the new key alone."""
    old = Keyring([KEY]).encrypt("secret")
    ring = Keyring([OTHER_KEY, KEY])
    assert ring.decrypt(old) == "secret"
    assert Keyring([OTHER_KEY]).decrypt(ring.encrypt("secret")) == "secret"
    with pytest.raises(AuthenticationFailedError):
        Keyring([KEY]).decrypt(ring.encrypt("secret"))


@pytest.mark.parametrize("text", [KEY, KEY + "\n", KEY + "\r\n"])
def test_key_forms_the_bot_accepts(text):
    """Line ends around the key are tolerated."""
    assert parse_key(text) == bytes(range(32))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        " " + KEY,
        KEY + " ",
        KEY.rstrip("="),
        base64.urlsafe_b64encode(b"\xff" * 32).decode(),
        base64.b64encode(b"\xff" * 16).decode(),
        base64.b64encode(b"\xff" * 33).decode(),
        "ключ",
    ],
    ids=[
        "empty",
        "newline",
        "leading space",
        "trailing space",
        "no padding",
        "url-safe",
        "short",
        "long",
        "cyrillic",
    ],
)
def test_key_forms_the_bot_refuses(text):
    """What the bot refuses is refused, and the message does not repeat the key."""
    with pytest.raises(EncryptionKeyError) as caught:
        parse_key(text)
    if text.strip():
        assert text.strip() not in "".join(traceback.format_exception(caught.value))


def test_no_key_at_all():
    """An empty ring is refused with the variable to set."""
    with pytest.raises(EncryptionKeyError, match="ENCRYPTION_KEY"):
        Keyring([])


def test_credentials_are_stripped_and_an_absent_passphrase_is_none():
    """Keys lose the white space typed around them; empty bytes and NULL are both no passphrase."""
    ring = Keyring([KEY])
    api_key, secret = ring.encrypt("  key\n"), ring.encrypt("\tsecret ")
    for absent in (None, b""):
        assert SealedCredentials(api_key, secret, absent).open(ring) == Credentials("key", "secret", None)
    opened = SealedCredentials(api_key, secret, ring.encrypt(" pass phrase ")).open(ring)
    assert opened.passphrase == " pass phrase "


def test_an_empty_key_is_refused():
    """White space where a key should be is this account's error."""
    ring = Keyring([KEY])
    with pytest.raises(UndecryptableError, match="empty"):
        SealedCredentials(ring.encrypt(" "), ring.encrypt("secret")).open(ring)


def test_nothing_secret_shows():
    """Neither repr nor a whole traceback holds key, plaintext or blob."""
    ring = Keyring([KEY])
    sealed = SealedCredentials(
        ring.encrypt("api-key-value"), ring.encrypt("secret-value"), ring.encrypt("passphrase")
    )
    shown = repr(ring) + repr(sealed) + repr(sealed.open(ring)) + str(sealed.open(ring))
    latin = AESGCM(parse_key(KEY)).encrypt(bytes(12), b"\xff\xfesecret-value", None)
    for broken, error in (
        (bytes(12) + latin, NotTextError),
        (b"plaintext-key-value", AuthenticationFailedError),
    ):
        with pytest.raises(error) as caught:
            ring.decrypt(broken)
        assert not hasattr(caught.value.__context__, "object")
        shown += "".join(traceback.format_exception(caught.value))
    for secret in ("api-key-value", "secret-value", "passphrase", KEY, "plaintext-key-value"):
        assert secret not in shown


def test_hash_of_an_api_key():
    """The hash is plain SHA-256, so an operator can compute it beside us."""
    assert hash_api_key("key") == hashlib.sha256(b"key").hexdigest()


def test_core_dumps_are_forbidden():
    """The limit is set for this process and cannot be raised again."""
    script = (
        "import resource, shared.crypto as c; c.forbid_core_dumps(); c.forbid_core_dumps();"
        "print(max(resource.getrlimit(resource.RLIMIT_CORE)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) <= 1
