"""axe-core on a page: what it calls moderate or worse, by the rules of WCAG and its own best practices."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

_GRAVE = ("serious", "critical", "moderate")


def faults(page: Page) -> list[str]:
    """A line for each fault. The page must be opened in a context with `bypass_csp`, which axe needs."""
    found = Axe().run(page, options={"resultTypes": ["violations"]})
    return [
        f"{fault['impact']} {fault['id']}: {node['target']} {node['html'][:120]}"
        for fault in found.response["violations"]
        if fault["impact"] in _GRAVE
        for node in fault["nodes"]
    ]
