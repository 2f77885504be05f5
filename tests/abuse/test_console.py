"""H7: script injection through what callers choose, into the console, in a browser."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from selenium.common.exceptions import JavascriptException
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from tests.live.browser import complaints, start_browser
from tests.live.node import LISTED, Node, exchange
from tests.live.programs import LOOPBACK, wait_until
from tests.live.sipp import CALLEE

# What would run in a page that took it as markup, as an attribute, within a script, or as an address.
SCRIPTS = ("window.pwned=1", "alert(1)", "fetch('http://127.0.0.1:1/x')", "document.title='pwned'", "top.pwned=1")
SHAPES = (
    "<script>{}</script>",
    "</script><script>{}</script>",
    "<img src=x onerror={}>",
    "<svg onload={}>",
    "<svg><script>{}</script></svg>",
    "'\"><img src=x onerror={}>",
    "\" autofocus onfocus={} x=\"",
    "<iframe srcdoc='<script>{}</script>'></iframe>",
    "<a href=javascript:{}>x</a>",
    "javascript:{}",
    "{{{{constructor.constructor('{}')()}}}}",
    "${{{}}}",
    "</td></tr></table><script>{}</script>",
    "<style>@import 'javascript:{}'</style>",
    "<math><mi xlink:href=javascript:{}>x</mi></math>",
    "<details open ontoggle={}>",
    "<body onload={}>",
    "<base href=javascript:{}//>",
    "<object data=javascript:{}></object>",
    "\\u003cscript\\u003e{}\\u003c/script\\u003e",
)
PAYLOADS = [shape.format(script) for script in SCRIPTS for shape in SHAPES]
REQUEST = (
    "INVITE sip:{callee}@{host}:{port} SIP/2.0\r\n"
    "Via: SIP/2.0/UDP {host}:5999;rport;branch=z9hG4bK{turn}\r\n"
    "Max-Forwards: 70\r\n"
    "From: {display}<sip:{user}@example.net>;tag=t{turn}\r\n"
    "To: <sip:{callee}@{host}>\r\n"
    "Call-ID: {call_id}\r\n"
    "CSeq: 1 INVITE\r\n"
    "Contact: <sip:x@{host}:5999>\r\n"
    "User-Agent: {agent}\r\n"
    "Content-Length: 0\r\n\r\n"
)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chrome]:
    started = start_browser(tmp_path / "browser")
    yield started
    started.quit()


def place_hostile_calls(node: Node) -> None:
    """Every payload in From, User-Agent and Call-ID at once, every other one from a caller that a list rejects."""
    for turn, payload in enumerate(PAYLOADS):
        escaped = "".join(f"%{ord(c):02X}" if not c.isalnum() else c for c in payload)
        quoted = payload.replace("\\", "\\\\").replace('"', '\\"')
        message = REQUEST.format(
            callee=CALLEE,
            host=LOOPBACK,
            port=node.port,
            turn=turn,
            display=f'"{quoted}" ',
            user=LISTED if turn % 2 else escaped,
            call_id=payload.replace(" ", "/") + f"@{turn}",
            agent=payload,
        )
        exchange(node.port, message.encode(), timeout_s=0.05)


def test_h7_nothing_that_a_caller_writes_runs(node: Node, browser: Chrome) -> None:
    assert len(PAYLOADS) == len(set(PAYLOADS)) == 100
    place_hostile_calls(node)
    told = node.decisions(len(PAYLOADS))
    assert sum("script" in decision["user_agent"] for decision in told) >= 40, "the payloads reach the log"

    browser.get(f"http://{LOOPBACK}:{node.admin_port}/")
    wait_until(lambda: len(browser.find_elements(By.CSS_SELECTOR, "tr.call")) == 100, "the decisions to be shown")
    for row in range(100):  # what was said of each call, opened one after the other
        browser.find_elements(By.CSS_SELECTOR, "tr.call")[row].click()
    assert len(browser.find_elements(By.CSS_SELECTOR, "tr.detail")) == 100

    shown = browser.find_element(By.ID, "decisions").text
    assert "<script>window.pwned=1</script>" in shown, "shown as text"
    assert browser.execute_script("return [window.pwned, document.title]") == [None, "callsieve"]
    assert browser.execute_script("return document.querySelectorAll('script').length") == 1
    made = "#decisions :is(img, svg, iframe, a, style, object, base, details)"
    assert browser.find_elements(By.CSS_SELECTOR, made) == []
    assert complaints(browser) == [], "nothing was even tried"


def test_h7_the_policy_of_the_page_runs_nothing_inline(node: Node, browser: Chrome) -> None:
    with urllib.request.urlopen(f"http://{LOOPBACK}:{node.admin_port}/") as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "frame-ancestors 'none'" in policy

    browser.get(f"http://{LOOPBACK}:{node.admin_port}/")
    attempts = (  # without eval, which the driver itself allows
        "const s = document.createElement('script'); s.textContent = 'window.pwned=1'; document.body.append(s)",
        "document.body.innerHTML = '<img src=x onerror=window.pwned=1>'",
        "document.body.setAttribute('onclick', 'window.pwned=1'); document.body.click()",
    )
    for attempt in attempts:
        with suppress(JavascriptException):
            browser.execute_script(attempt)
    assert browser.execute_script("return window.pwned") is None
    assert len(complaints(browser)) >= 2, "refused by the policy"


def test_the_console_shows_the_node(node: Node, browser: Chrome) -> None:
    place_hostile_calls(node)
    node.decisions(len(PAYLOADS))
    browser.get(f"http://{LOOPBACK}:{node.admin_port}/")

    def text(name: str) -> str:
        return browser.find_element(By.ID, name).text

    wait_until(lambda: text("health") == "healthy", "the page to know the node's health")
    assert text("node") == "live"
    rejected = json.loads(node.get("/v1/counters")[1])["verdicts"]
    count = sum(verdict["calls"] for verdict in rejected if verdict["action"] == "reject")
    wait_until(lambda: text("count-reject") == str(count), "the counter of rejected calls")
    browser.find_element(By.CSS_SELECTOR, "button[data-show=reject]").click()
    verdicts = {element.text for element in browser.find_elements(By.CSS_SELECTOR, "tr.call .verdict")}
    assert "reject 403" in verdicts and all(verdict.startswith("reject") for verdict in verdicts)
    node.stop()
    wait_until(lambda: text("health") == "no answer", "the page to notice that the node is gone")
