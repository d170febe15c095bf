"""Signatures equal the published ones; keys are told by their form and never shown."""

import base64
import json
from decimal import Decimal
from pathlib import Path
from urllib.parse import parse_qsl, unquote

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from shared.binance.sign import (
    Credentials,
    KeyKind,
    query,
    signed_query,
    signed_websocket_params,
    websocket_payload,
)

# Published examples (Binance REST docs and WebSocket API docs, signed request examples; FIX API docs, logon).
API_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
ED25519_PEM = (
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIIJEYWtGBrhACmb9Dvy+qa8WEf0lQOl1s4CLIAB9m89u\n"
    "-----END PRIVATE KEY-----\n"
)
HMAC = Credentials(API_KEY, SECRET)
ED25519 = Credentials(API_KEY, ED25519_PEM)
VECTORS = Path(__file__).parents[2].parent / "shared/fixtures/spot/vectors__signatures.json"


def pem(key, protection=None) -> str:
    text: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection or NoEncryption())
    return text.decode()


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def limit_order(symbol: str) -> dict[str, str | int | Decimal]:
    return {
        "symbol": symbol,
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": 1,
        "price": Decimal("0.1"),
        "recvWindow": 5000,
        "timestamp": 1499827319559,
    }


@pytest.mark.parametrize(
    ("symbol", "signature"),
    [
        ("LTCBTC", "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"),
        (
            "\uff11\uff12\uff13\uff14\uff15\uff16",
            "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3",
        ),
    ],
    ids=["ascii", "percent-encoded before signing"],
)
def test_rest_hmac_equals_the_published_examples(symbol, signature):
    """Encode first, sign second, signature last."""
    assert signed_query(limit_order(symbol), HMAC).endswith(f"&timestamp=1499827319559&signature={signature}")


def test_rest_ed25519_signature_is_percent_encoded_base64():
    """The published Ed25519 key over the REST example; `+`, `/` and `=` do not go raw into a query."""
    signature = "WfzGnDebxAC6/SQQ8IgxO2A8zV0I3v3OTWs0IkFAqkrVzaUtwtzJI7VQf3QCKbPbYawE7LohsWhJm55b7ZPBAQ=="
    text = signed_query(limit_order("LTCBTC"), ED25519).rpartition("&signature=")[2]
    assert not set("+/=") & set(text)
    assert unquote(text) == signature


def test_ed25519_equals_the_published_logon():
    """The only published Ed25519 signature with its private key."""
    payload = b"A\x01EXAMPLE\x01SPOT\x011\x0120240627-11:17:25.223"
    assert ED25519.signature(payload) == (
        "4MHXelVVcpkdwuLbl6n73HQUXUf1dse2PCgT1DYqW9w8AVZ1RACFGM+5UdlGPrQHrgtS3CvsRURC1oj73j8gCA=="
    )


def test_rsa_signature_verifies(rsa_key):
    """RSASSA-PKCS1-v1_5 with SHA-256 over the encoded query."""
    text = signed_query(limit_order("LTCBTC"), Credentials("key", pem(rsa_key)))
    payload, _, signature = text.rpartition("&signature=")
    rsa_key.public_key().verify(
        base64.b64decode(unquote(signature)), payload.encode(), PKCS1v15(), hashes.SHA256()
    )


@pytest.mark.parametrize(
    ("symbol", "side", "price", "quantity", "window", "signature"),
    [
        (
            "BTCUSDT",
            "SELL",
            "52000.00",
            "0.01000000",
            100,
            "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24",
        ),
        (
            "\uff11\uff12\uff13\uff14\uff15\uff16",
            "BUY",
            "0.10000000",
            "1.00000000",
            5000,
            "b33892ae8e687c939f4468c6268ddd4c40ac1af18ad19a064864c47bae0752cd",
        ),
    ],
    ids=["ascii", "raw unicode"],
)
def test_websocket_hmac_equals_the_published_examples(symbol, side, price, quantity, window, signature):
    """Sorted by name, raw text, the API key inside."""
    params = signed_websocket_params(
        {
            "symbol": symbol,
            "side": side,
            "type": "LIMIT",
            "timeInForce": "GTC",
            "price": price,
            "quantity": quantity,
            "recvWindow": window,
            "timestamp": 1645423376532,
        },
        HMAC,
    )
    assert params["apiKey"] == API_KEY
    assert params["signature"] == signature


def test_websocket_subscription_without_window():
    """`userDataStream.subscribe.signature` signs key and timestamp only."""
    params = signed_websocket_params({"timestamp": 1747385641636}, HMAC)
    assert params["signature"] == "681110a6057ad58657af22f5640fab9dd17418834cdfccdc81be8b0f7b2cde3e"


def vectors() -> list[dict[str, str]]:
    if not VECTORS.exists():
        return []
    usable = json.loads(VECTORS.read_text())
    return [one for one in usable if one.get("secretKey") or one.get("privateKeyPem")]


@pytest.mark.parametrize("vector", vectors(), ids=lambda vector: vector["id"])
def test_every_vector_at_hand_is_reproduced(vector):
    """All collected vectors whose key is known."""
    credentials = Credentials(
        vector.get("apiKey") or "key", vector.get("secretKey") or vector["privateKeyPem"]
    )
    assert credentials.signature(vector["payload"].encode()) == vector["signature"]


def test_websocket_json_holds_what_was_signed():
    """A Decimal becomes the text that was signed; integers stay integers."""
    params = signed_websocket_params({"price": Decimal("1E+2"), "timestamp": 1}, HMAC)
    assert params["price"] == "100"
    assert params["timestamp"] == 1
    assert websocket_payload(params) == f"apiKey={API_KEY}&price=100&timestamp=1"


@given(
    st.dictionaries(
        st.text(min_size=1), st.text() | st.integers() | st.decimals(allow_nan=False, allow_infinity=False)
    )
)
def test_query_can_be_read_back_and_is_ascii(params):
    """Whatever the values, the server reads the same ones, and no character needs encoding on the way."""
    text = query(params)
    assert text.isascii()
    assert " " not in text
    read = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text))
    expected = [(name, format(v, "f") if isinstance(v, Decimal) else str(v)) for name, v in params.items()]
    assert read == expected


@pytest.mark.parametrize("value", [0.1, None, b"x", ["BTCUSDT"]])
def test_values_without_one_text_form_are_refused(value):
    """No float, no None: what is sent is what was meant."""
    with pytest.raises(TypeError, match="no exact text"):
        query({"quantity": value})


def test_booleans_are_lower_case():
    """As the exchange writes them."""
    assert query({"a": True, "b": False}) == "a=true&b=false"


def test_unsignable_parameters_are_refused():
    """A second signature, or no timestamp, is a mistake found before sending."""
    with pytest.raises(ValueError, match="leave it out"):
        signed_query({"timestamp": 1, "signature": "x"}, HMAC)
    with pytest.raises(ValueError, match="needs its timestamp"):
        signed_query({"symbol": "BTCUSDT"}, HMAC)


def test_kind_is_told_by_the_form(rsa_key):
    """PEM is a private key, anything else an HMAC secret; stored line breaks and blanks do not matter."""
    assert HMAC.kind is KeyKind.HMAC
    assert ED25519.kind is KeyKind.ED25519
    assert Credentials("key", pem(rsa_key)).kind is KeyKind.RSA
    one_line = Credentials(f" {API_KEY}\n", ED25519_PEM.replace("\n", "\\n"))
    assert one_line.signature(b"x") == ED25519.signature(b"x")
    assert one_line.api_key == API_KEY
    assert Credentials(API_KEY, f"{SECRET}\n").signature(b"x") == HMAC.signature(b"x")


def unusable() -> dict[str, tuple[str, str]]:
    return {
        "no key": ("", SECRET),
        "no secret": ("key", " "),
        "line break in the key": ("ke\ny", SECRET),
        "not ascii": ("kéy", SECRET),
        "curve": ("key", pem(ec.generate_private_key(ec.SECP256R1()))),
        "passphrase": ("key", pem(Ed25519PrivateKey.generate(), BestAvailableEncryption(b"x"))),
        "damaged": ("key", ED25519_PEM.replace("MC4C", "AAAA")),
        "public key": ("key", ED25519_PEM.replace("PRIVATE", "PUBLIC")),
    }


@pytest.mark.parametrize("name", unusable())
def test_unusable_credentials_say_what_to_do_and_show_nothing(name):
    """The message holds no part of key or secret, and no cause that does."""
    key, secret = unusable()[name]
    with pytest.raises(ValueError) as failure:
        Credentials(key, secret)
    assert failure.value.__suppress_context__ or failure.value.__context__ is None
    text = str(failure.value)
    assert not any(line in text for line in (secret, *secret.splitlines()) if len(line) > 3)


def test_credentials_show_neither_key_nor_secret():
    """Text forms name the key by a fingerprint only."""
    for shown in (repr(ED25519), str(HMAC), f"{HMAC}", repr([HMAC]), repr({"a": ED25519})):
        assert API_KEY not in shown
        assert SECRET not in shown
        assert "PRIVATE" not in shown
        assert ED25519.fingerprint[:8] in shown
