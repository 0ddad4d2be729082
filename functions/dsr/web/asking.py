"""Asking: the form, the check of its answers, sending it; and finding the way back by the reference."""

from dataclasses import dataclass, replace

from dsr.identity import Level
from dsr.language import best_of
from dsr.phones import number_in
from dsr.requests import Submission
from dsr.web.forms import Form, countries, read_reference, read_submission
from dsr.web.frame import Frame
from dsr.web.http import Answer, Request, see
from dsr.web.router import Route


@dataclass(frozen=True)
class Asking:
    """The pages before there is a case."""

    frame: Frame

    def routes(self) -> tuple[Route, ...]:
        """The paths of these pages."""
        return (
            Route("GET", "/", self.form),
            Route("POST", "/requests/check", self.check),
            Route("GET", "/requests/check", self.to_form),
            Route("POST", "/requests/change", self.change),
            Route("GET", "/requests/change", self.to_form),
            Route("POST", "/requests", self.submit),
            Route("GET", "/requests", self.find),
            Route("POST", "/requests/find", self.found),
            Route("GET", "/requests/find", self.find),
        )

    def form(self, request: Request) -> Answer:
        """The form. `right` in the query chooses beforehand."""
        form, _ = self._read({"right": request.query.get("right", "")})
        return self._form(request, Form(form.values))

    def to_form(self, request: Request) -> Answer:
        """Back to the form."""
        return see(request, "/")

    def check(self, request: Request) -> Answer:
        """What was typed, to be read once more; or the form with what is wrong. Stores nothing."""
        form, submission = self._read(request.form)
        if submission is None:
            return self._form(request, form)
        return self.frame.page(
            request, "check", form=form, countries=countries(), step=1, right=submission.right,
            number=number_in(submission.contacts),
        )  # fmt: skip

    def change(self, request: Request) -> Answer:
        """The form as it was typed, at the field to change."""
        form, _ = self._read(request.form)
        return self._form(request, Form(form.values), request.form.get("change", ""))

    def submit(self, request: Request) -> Answer:
        """Open the case. The browser that sent it may enter codes, nothing more."""
        form, submission = self._read(request.form)
        if submission is None:
            return self._form(request, form)
        if not self.frame.admitted(request):
            return self.frame.fault(429)(request)
        if number_in(submission.contacts) and not self.frame.admitted_text(request):
            return self.frame.fault(429)(request)
        language = best_of(request.headers.get("accept-language", ""))
        case_id = self.frame.requests.open(submission, self.frame.plan().version, language)
        session = self.frame.session(request)
        cookie = self.frame.door.raise_session(session, case_id, Level.SUBMITTED)
        return replace(see(request, f"/requests/{case_id}"), cookie=cookie)

    def _read(self, said: dict[str, str]) -> tuple[Form, Submission | None]:
        return read_submission(said, self.frame.texts)

    def _form(self, request: Request, form: Form, focus: str = "") -> Answer:
        """The form, with what is wrong in it or at the field to change."""
        return self.frame.page(
            request, "form", 422 if form.errors else 200, form=form, focus=focus, countries=countries(),
            errors=form.errors, step=1, texts=self.frame.texts,
        )  # fmt: skip

    def find(self, request: Request) -> Answer:
        """The page that asks for the reference."""
        return self.frame.page(request, "find", form=Form())

    def found(self, request: Request) -> Answer:
        """On to the case's page, whether there is such a case or not."""
        form, case_id = read_reference(request.form)
        if case_id is None:
            return self.frame.page(request, "find", 422, form=form, errors=form.errors)
        return see(request, f"/requests/{case_id}")
