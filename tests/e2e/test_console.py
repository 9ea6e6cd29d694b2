"""The pages of the service in a real browser."""

from pathlib import Path

import pytest
from e2e.fleet import Fleet
from servers.browser import browser

#: The form is there, and so is the script that handles it.
READY = "document.readyState === 'complete' && document.querySelector('#key') !== null"


def test_the_console_shows_a_tenant_its_own_signals_and_models_once_it_has_the_key(
    fleet: Fleet, tmp_path: Path
) -> None:
    with fleet.client() as client:
        mine = client.get("/signals").json()["signals"]
    with fleet.client("globex") as client:
        theirs = client.get("/signals").json()["signals"]
    if not mine:
        pytest.fail("the fleet of this test must have signals")
    with browser(tmp_path) as page:
        page.open(fleet.url + "/")
        page.wait_for(READY)
        assert mine[0]["summary"] not in page.text
        page.evaluate(f"document.querySelector('#key').value = '{fleet.keys['acme']}'")
        page.evaluate("document.querySelector('#key-form').requestSubmit()")
        page.wait_for(f"(document.body?.innerText ?? '').includes({mine[0]['summary']!r})")
        # Models are asked for after the signals.
        page.wait_for("(document.body?.innerText ?? '').includes('detector v')")
        assert all(signal["summary"] not in page.text for signal in theirs)
        # A click tells the rest, in words.
        assert mine[0]["signal_id"] not in page.text
        page.evaluate("document.querySelector('article .title').click()")
        page.wait_for(f"(document.body?.innerText ?? '').includes({mine[0]['signal_id']!r})")


def test_a_wrong_key_is_told_and_shows_nothing(fleet: Fleet, tmp_path: Path) -> None:
    with browser(tmp_path) as page:
        page.open(fleet.url + "/")
        page.wait_for(READY)
        page.evaluate("document.querySelector('#key').value = 'fw_nonsense'")
        page.evaluate("document.querySelector('#key-form').requestSubmit()")
        page.wait_for("/key/i.test(document.querySelector('#status').innerText)")


def test_the_docs_page_lists_the_endpoints_without_help_from_elsewhere(fleet: Fleet, tmp_path: Path) -> None:
    with browser(tmp_path) as page:
        page.open(fleet.url + "/docs")
        page.wait_for("(document.body?.innerText ?? '').includes('/detect_batch')")
        asked = page.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")
        assert all(address.startswith(fleet.url) for address in asked)
