"""Signatures: what is covered, by which key, in which form."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.local_exchange.signature import signed_payload, verifier_for, websocket_payload

# Binance REST docs, "SIGNED Endpoint Examples": a published, retired key.
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
ASCII = (
    b"symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1"
    b"&recvWindow=5000&timestamp=1499827319559"
)
WIDE = "".join(chr(0xFF11 + digit) for digit in range(6))  # the fullwidth digits of the documented examples
ASCII_SIGNATURE = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"


def test_the_documented_hmac_vector_verifies_in_either_case():
    """The exchange accepts hexadecimal digits in upper and lower case."""
    verifier = verifier_for(SECRET, None)
    assert verifier.verify(ASCII, ASCII_SIGNATURE)
    assert verifier.verify(ASCII, ASCII_SIGNATURE.upper())
    assert not verifier.verify(ASCII + b"0", ASCII_SIGNATURE)
    assert not verifier.verify(ASCII, "é" * 64)


def test_query_and_body_are_joined_without_a_separator():
    """The documented mixed example: query string, then body, nothing between."""
    query = b"symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC"
    signature = "0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77"
    body = b"quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559&signature=" + signature.encode()
    payload = signed_payload(query, body)
    assert payload is not None
    assert verifier_for(SECRET, None).verify(payload, signature)


def test_percent_encoded_text_is_what_is_signed():
    """The documented vector with fullwidth digits; the same text unencoded has no payload at all."""
    encoded = (
        b"symbol=%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96&side=BUY&type=LIMIT&timeInForce=GTC"
        b"&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
    )
    signature = "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3"
    payload = signed_payload(encoded + b"&signature=" + signature.encode(), b"")
    assert payload == encoded
    assert verifier_for(SECRET, None).verify(payload, signature)
    assert signed_payload(f"symbol={WIDE[:3]}&signature=ab".encode(), b"") is None


@pytest.mark.parametrize("query", [b"signature=ab&timestamp=1", b"timestamp=1&signature=ab&x=1"])
def test_a_signature_in_another_place_than_last_is_refused(query):
    """Only the last place is documented."""
    assert signed_payload(query, b"") is None


def test_websocket_parameters_are_sorted_raw_and_contain_the_key():
    """The documented WebSocket API vectors, ASCII and fullwidth digits."""
    key = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
    params = {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": "0.01000000",
        "price": "52000.00",
        "recvWindow": 100,
        "timestamp": 1645423376532,
        "apiKey": key,
        "signature": "whatever",
    }
    verifier = verifier_for(SECRET, None)
    assert verifier.verify(
        websocket_payload(params), "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24"
    )
    wide = params | {
        "symbol": WIDE,
        "side": "BUY",
        "quantity": "1.00000000",
        "price": "0.10000000",
        "recvWindow": 5000,
    }
    assert verifier.verify(
        websocket_payload(wide), "b33892ae8e687c939f4468c6268ddd4c40ac1af18ad19a064864c47bae0752cd"
    )


def test_ed25519_and_rsa_keys_sign_in_base64():
    """Both asymmetric kinds verify, only Ed25519 may log on, garbage verifies as nothing."""
    edwards = ed25519.Ed25519PrivateKey.generate()
    pem = edwards.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    verifier = verifier_for(None, pem)
    assert verifier.can_log_on
    assert verifier.verify(ASCII, base64.b64encode(edwards.sign(ASCII)).decode())
    assert not verifier.verify(ASCII, base64.b64encode(edwards.sign(b"other")).decode())
    assert not verifier.verify(ASCII, "not base64!")
    private = rsa.generate_private_key(65537, 2048)
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    verifier = verifier_for(None, pem)
    assert not verifier.can_log_on
    assert verifier.verify(
        ASCII, base64.b64encode(private.sign(ASCII, padding.PKCS1v15(), SHA256())).decode()
    )
    assert not verifier.verify(ASCII, "////")


def test_an_account_without_any_key_is_explained():
    """The message says what to give."""
    with pytest.raises(ValueError, match="'secret'"):
        verifier_for(None, None)
