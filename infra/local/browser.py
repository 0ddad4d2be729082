"""A browser without JavaScript: pages, forms, cookies and redirects, and nothing that a person could not
do."""

import http.client
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlencode, urljoin, urlsplit
from uuid import uuid4

from infra.local.home import LocalCloudError

REDIRECTS = {301, 302, 303, 307, 308}
FOLLOWED = 10
FAILED = 500
FORM = "application/x-www-form-urlencoded"


@dataclass
class Form:
    """A form as the page has it: where it goes, and what stands in its fields."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    choices: dict[str, list[str]] = field(default_factory=dict)  # of radio buttons and selections
    buttons: list[str] = field(default_factory=list)  # their wording
    files: list[str] = field(default_factory=list)  # fields for files


@dataclass
class Page:
    """What the browser shows."""

    url: str
    status: int
    body: bytes
    headers: dict[str, str]
    forms: list[Form]
    links: list[str]
    text: str

    def form(self, *fields: str, action: str = "") -> Form:
        """The form that has all these fields, and an address ending in `action`. Raises LocalCloudError if
        there is none."""
        for form in self.forms:
            if set(fields) <= form.fields.keys() | form.choices.keys() and form.action.split("?")[0].endswith(
                action
            ):
                return form
        wanted = f"with the fields {', '.join(fields)}" if fields else f"to {action}"
        raise LocalCloudError(
            f"the page {self.url} ({self.status}) has no form {wanted}; it says: {self.text[:400]}"
        )

    def has_form(self, *fields: str, action: str = "") -> bool:
        """Whether `form` would find one."""
        return any(
            set(fields) <= form.fields.keys() | form.choices.keys()
            and form.action.split("?")[0].endswith(action)
            for form in self.forms
        )


class Browser:
    """One person's browser session. Every name under localhost leads to this machine, as in real browsers."""

    def __init__(self, seconds: float = 60.0) -> None:
        self._seconds = seconds
        self._cookies: dict[str, dict[str, str]] = {}  # by host and port

    def get(self, url: str) -> Page:
        """Open an address, following redirects."""
        return self._open("GET", url, None)

    def submit(self, page: Page, form: Form, **values: str) -> Page:
        """Fill in `values` and press the form's button. Raises LocalCloudError for a field that the form
        lacks."""
        unknown = values.keys() - form.fields.keys() - form.choices.keys()
        if unknown:
            raise LocalCloudError(f"the form on {page.url} has no field {', '.join(sorted(unknown))}")
        sent = form.fields | values
        target = urljoin(page.url, form.action)
        if form.method == "GET":
            return self._open("GET", f"{target.split('?')[0]}?{urlencode(sent)}", None)
        return self._open("POST", target, urlencode(sent).encode())

    def upload(self, page: Page, form: Form, file: str, content: bytes) -> Page:
        """Choose a file of that name in the form's field for files, and press its button."""
        mark = f"----{uuid4().hex}"
        [field] = form.files
        parts = [
            f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in form.fields.items()
            if name != field
        ]
        parts.append(f'--{mark}\r\nContent-Disposition: form-data; name="{field}"; filename="{file}"\r\n\r\n')
        body = "".join(parts).encode() + content + f"\r\n--{mark}--\r\n".encode()
        kind = f"multipart/form-data; boundary={mark}"
        return self._open("POST", urljoin(page.url, form.action), body, kind)

    def _open(self, method: str, url: str, body: bytes | None, kind: str = FORM) -> Page:
        for _ in range(FOLLOWED):
            status, headers, content = self._exchange(method, url, body, kind)
            if status not in REDIRECTS or "location" not in headers:
                page = _page(url, status, headers, content)
                if status >= FAILED:  # no person goes on from here, and the page after it would hide it
                    raise LocalCloudError(f"{method} {url} failed with {status}: {page.text[:400]}")
                return page
            url = urljoin(url, headers["location"])
            if status not in (307, 308):
                method, body = "GET", None
        raise LocalCloudError(f"{url} redirects without end")

    def _exchange(
        self, method: str, url: str, body: bytes | None, kind: str = FORM
    ) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise LocalCloudError(f"{url} is no address in the local cloud")
        local = parts.hostname == "localhost" or parts.hostname.endswith(".localhost")
        connection = http.client.HTTPConnection(
            "127.0.0.1" if local else parts.hostname, parts.port or 80, timeout=self._seconds
        )
        headers = {
            "Host": parts.netloc,
            "Accept": "text/html,*/*",
            "User-Agent": "a browser without JavaScript",
        }
        jar = self._cookies.setdefault(parts.netloc, {})
        if jar:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in jar.items())
        if body is not None:
            headers["Content-Type"] = kind
            headers["Origin"] = f"{parts.scheme}://{parts.netloc}"
        try:
            connection.request(
                method, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), body, headers
            )
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        for cookie in answer.headers.get_all("Set-Cookie", []):
            # A real browser takes Secure cookies from http://*.localhost too, which it trusts like https.
            name, _, value = cookie.split(";")[0].strip().partition("=")
            jar[name] = value
        return answer.status, {name.lower(): value for name, value in answer.headers.items()}, content


class _Reader(HTMLParser):
    """Collects forms, links and visible text."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self._form: Form | None = None
        self._area: str | None = None
        self._selection: str | None = None
        self._button = False
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag in ("style", "script"):
            self._silent += 1
        elif tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "form":
            self._form = Form(given.get("action", ""), given.get("method", "get").upper())
            self.forms.append(self._form)
        elif self._form is not None:
            self._control(tag, given, self._form)

    def _control(self, tag: str, given: dict[str, str], form: Form) -> None:
        name, value, kind = given.get("name", ""), given.get("value", ""), given.get("type", "text")
        if tag == "button":
            self._button = True
            form.buttons.append("")
        elif tag == "input" and kind in ("radio", "checkbox") and name:
            form.choices.setdefault(name, []).append(value or "on")
            if "checked" in given:
                form.fields[name] = value or "on"
        elif tag == "input" and kind == "submit":
            form.buttons.append(value)
        elif tag == "input" and name:
            form.fields[name] = value
            if kind == "file":
                form.files.append(name)
        elif tag == "textarea" and name:
            self._area = name
            form.fields[name] = ""
        elif tag == "select" and name:
            self._selection = name
            form.choices.setdefault(name, [])
        elif tag == "option" and self._selection:
            form.choices[self._selection].append(value)
            if "selected" in given or self._selection not in form.fields:
                form.fields[self._selection] = value

    def handle_endtag(self, tag: str) -> None:
        if tag in ("style", "script"):
            self._silent -= 1
        elif tag == "form":
            self._form = None
        elif tag == "textarea":
            self._area = None
        elif tag == "select":
            self._selection = None
        elif tag == "button":
            self._button = False

    def handle_data(self, data: str) -> None:
        if self._form is not None and self._area:
            self._form.fields[self._area] += data
        elif self._form is not None and self._button:
            self._form.buttons[-1] = (self._form.buttons[-1] + " " + data).strip()
        if data.strip() and not self._silent:
            self.words.append(" ".join(data.split()))


def _page(url: str, status: int, headers: dict[str, str], body: bytes) -> Page:
    reader = _Reader()
    if headers.get("content-type", "").startswith("text/html"):
        reader.feed(body.decode("utf-8", errors="replace"))
    return Page(url, status, body, headers, reader.forms, reader.links, " ".join(reader.words))
