"""Asking: the form, the check of its answers, sending it; and finding the way back by the reference."""

from dataclasses import dataclass, replace

from dsr.identity import Level
from dsr.language import best_of
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
        form, _ = read_submission({"right": request.query.get("right", "")})
        return self.frame.page(
            request, "form", form=Form(form.values), focus="", countries=countries(), step=1
        )

    def to_form(self, request: Request) -> Answer:
        """Back to the form."""
        return see(request, "/")

    def check(self, request: Request) -> Answer:
        """What was typed, to be read once more; or the form with what is wrong. Stores nothing."""
        form, submission = read_submission(request.form)
        if submission is None:
            return self._form_again(request, form)
        return self.frame.page(
            request, "check", form=form, countries=countries(), step=1, right=submission.right
        )

    def change(self, request: Request) -> Answer:
        """The form as it was typed, at the field to change."""
        form, _ = read_submission(request.form)
        focus = request.form.get("change", "")
        return self.frame.page(
            request, "form", form=Form(form.values), focus=focus, countries=countries(), step=1
        )

    def submit(self, request: Request) -> Answer:
        """Open the case. The browser that sent it may enter codes, nothing more."""
        form, submission = read_submission(request.form)
        if submission is None:
            return self._form_again(request, form)
        if not self.frame.admitted(request):
            return self.frame.fault(429)(request)
        language = best_of(request.headers.get("accept-language", ""))
        case_id = self.frame.requests.open(submission, self.frame.plan().version, language)
        session = self.frame.session(request)
        cookie = self.frame.door.raise_session(session, case_id, Level.SUBMITTED)
        return replace(see(request, f"/requests/{case_id}"), cookie=cookie)

    def _form_again(self, request: Request, form: Form) -> Answer:
        return self.frame.page(
            request, "form", 422, form=form, focus="", countries=countries(), errors=form.errors, step=1
        )

    def find(self, request: Request) -> Answer:
        """The page that asks for the reference."""
        return self.frame.page(request, "find", form=Form())

    def found(self, request: Request) -> Answer:
        """On to the case's page, whether there is such a case or not."""
        form, case_id = read_reference(request.form)
        if case_id is None:
            return self.frame.page(request, "find", 422, form=form, errors=form.errors)
        return see(request, f"/requests/{case_id}")
