"""A page looked at for everybody: each width and colour, one after the other, without opening it anew."""

from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, BrowserContext, Page

from tests.browser import axe

PROBE = (Path(__file__).parent / "probe.js").read_text("utf-8")
Way = tuple[int, Literal["light", "dark"]]

# The narrowest comes last, and stays: whatever a story clicks next must be within reach there.
WAYS: tuple[Way, ...] = ((1280, "light"), (1280, "dark"), (390, "dark"), (320, "light"))


def context_for(chromium: Browser) -> BrowserContext:
    """Where to look: with scripts, but only for the probe; the pages' own policy allows none."""
    width, scheme = WAYS[-1]
    context = chromium.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True
    )
    context.set_default_timeout(10_000)
    return context


def faults(page: Page, with_axe: Way) -> list[str]:
    """A line for each fault in each of WAYS; axe-core's too in one, as each takes a good part of a second."""
    assert with_axe in WAYS
    page.wait_for_load_state("load")  # a button's click does not wait for the style
    found = []
    for width, scheme in WAYS:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        here = page.evaluate(PROBE)
        if (width, scheme) == with_axe:
            here += axe.faults(page)
        found += [f"{width} {scheme}: {fault}" for fault in here]
    return found
