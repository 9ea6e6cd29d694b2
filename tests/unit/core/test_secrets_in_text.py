"""Secrets in texts are masked; what is no secret stays readable."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.secrets_in_text import MASK, masked

S = "hunter2-SeCr3t"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "text",
    [
        f"login failed password={S} user=ada",
        f"PASSWORD: {S}",
        f"db_password='{S}'",
        f'{{"user": "ada", "password": "{S}"}}',
        f'{{\\"passwd\\": \\"{S}\\"}}',
        f"pwd={S};Server=db",
        f"GET /login?token={S}&next=/",
        f"access_token => {S}",
        f"refreshToken={S}",
        f"client_secret: {S}",
        f"X-Api-Key: {S}",
        f"apikey={S}",
        f"AWS_SECRET_ACCESS_KEY={S}",
        f"Authorization: Bearer {S}",
        f"authorization=Basic {S}",
        f"header 'Authorization': 'Digest {S}'",
        f"sent Bearer {S} to peer",
        f"Set-Cookie: {S}; Path=/",
        f"postgres://app:{S}@db:5432/shop",
        f"https://{S}:{S}@host/",
        f"-----BEGIN RSA PRIVATE KEY-----\n{S}\n-----END RSA PRIVATE KEY----- done",
        f"-----BEGIN PRIVATE KEY-----\\n{S}",
    ],
)
def test_the_value_of_a_secret_is_masked(text: str) -> None:
    assert S not in masked(text)
    assert MASK in masked(text)


@pytest.mark.parametrize(
    "secret",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "xoxb-123456789012-abcdefghij",
        "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
        JWT,
        "ada.lovelace+x@mail.example.co.uk",
        "4111 1111 1111 1111",
        "4111111111111111",
        "3782-822463-10005",
        "DE89 3704 0044 0532 0130 00",
    ],
)
def test_what_looks_like_a_secret_is_masked_without_a_name(secret: str) -> None:
    assert masked(f"got {secret} here") == f"got {MASK} here"


@pytest.mark.parametrize(
    "text",
    [
        "connection to db:5432 refused after 3 tries",
        "GET /users/4711/orders 200 in 12 ms",
        "order 1234567890123 stored",
        "2026-01-05T12:00:00.123456Z started at 10.0.0.1",
        "trace 5b8efff798038103d269b633813fc60c",
        "commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
        "at com.example.shop.OrderController.create(OrderController.java:42)",
        "no such file /var/lib/postgresql/16/main/base/16384/2619",
        "authentication failed for user ada",
        "the token has expired",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert masked(text) == text


@given(st.text(max_size=200))
def test_masking_twice_changes_nothing_more(text: str) -> None:
    once = masked(text)
    assert masked(once) == once


@pytest.mark.parametrize(
    "part", ["password=", "a@", "-----BEGIN PRIVATE KEY-----", "1 ", 'token: "', "a.", "://a:", "Aa1/", "@a."]
)
def test_no_pattern_tries_every_part_of_a_long_line(part: str) -> None:
    text = part * (20_000 // len(part))
    assert len(masked(text)) <= len(text) * len(MASK)
