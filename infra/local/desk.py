"""What the people of the desk do in a browser: sign in, open a task, hand in what somebody answered."""

from urllib.parse import urljoin

from infra.local import deploy
from infra.local.browser import Browser, Page
from infra.local.home import LocalCloudError


def sign_in(browser: Browser, url: str, group: str, path: str = "/desk") -> Page:
    """Sign in as the person of that group; returns the page that they wanted."""
    page = browser.get(f"{url}{path}")
    hosted = browser.submit(page, page.form("then"))
    form = hosted.form("username", "password")
    back = browser.submit(hosted, form, username=deploy.DESK_PEOPLE[group], password=deploy.DESK_PASSWORD)
    return browser.submit(back, back.form("code", "state"))


def open_task(browser: Browser, page: Page, store: str) -> Page:
    """Follow the page of a case to its task of that store. Raises LocalCloudError if there is none."""
    for link in page.links:
        if "/tasks/" in link and link.endswith(f"-{store}"):
            return browser.get(urljoin(page.url, link))
    raise LocalCloudError(f"{page.url} leads to no task of {store}; it says: {page.text[:400]}")


def close_task(browser: Browser, page: Page, said: str, text: str = "") -> Page:
    """Close the task on the page. Raises LocalCloudError if it is not taken."""
    page = browser.submit(page, page.form("said"), said=said, text=text)
    if "The task is closed" not in page.text:
        raise LocalCloudError(f"the task could not be closed: {page.text[:400]}")
    return page
