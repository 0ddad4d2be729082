"""The page of a task: whom to ask, by what, and what they answered."""

from dataclasses import dataclass

from dsr import casebook, plans
from dsr.case import Case
from dsr.errors import Conflict, NotFound
from dsr.staging import Staging
from dsr.tasks import MOST_UPLOAD, Task, Tasks, Unfit
from dsr.web.desk import words
from dsr.web.desk.door import Agent
from dsr.web.desk.frame import DeskFrame
from dsr.web.desk.looks import Looks
from dsr.web.desk.roles import May, allowed
from dsr.web.desk.showing import Showing
from dsr.web.http import Answer, Request, see
from dsr.web.uploads import read_multipart


@dataclass(frozen=True)
class Tasking:
    """The pages and buttons of tasks."""

    frame: DeskFrame
    showing: Showing

    def page(self, request: Request, agent: Agent) -> Answer:
        """One task."""
        case, task = self._task(request)
        if case is None:
            return self.showing.missing(request, agent)
        return self._show(request, agent, case, task, {}, {}, 200)

    def hand_in(self, request: Request, agent: Agent) -> Answer:
        """Take a file in."""
        case, task = self._task(request)
        if case is None:
            return self.showing.missing(request, agent)
        if task is None or task.cannot:
            return self._closed(request, agent, case)
        form, files = read_multipart(request.headers.get("content-type", ""), request.body)
        file = files.get("file")
        if file is None or not file.name:
            return self._show(request, agent, case, task, {"file": "Choose a file"}, form, 422)
        try:
            self._tasks(case).hand_in(task, form.get("collection", ""), file.name, file.content)
        except Unfit as error:
            return self._show(request, agent, case, task, {"file": str(error)}, form, 422)
        except Conflict:
            return self._show(request, agent, case, task, {"file": words.ERRORS["changed"]}, form, 409)
        return see(request, f"/desk/cases/{case.case_id}/tasks/{task.visit}?done=handed-in")

    def answer(self, request: Request, agent: Agent) -> Answer:
        """Close the task with what they answered."""
        case, task = self._task(request)
        if case is None:
            return self.showing.missing(request, agent)
        if task is None or task.cannot:
            return self._closed(request, agent, case)
        said, text = request.form.get("said", ""), request.form.get("text", "")
        try:
            self._tasks(case).answer(task, said, text, agent.sub)
        except Unfit as error:
            return self._show(request, agent, case, task, {"said": str(error)}, request.form, 422)
        except Conflict:
            return self._closed(request, agent, case)
        return see(request, f"/desk/cases/{case.case_id}?done=task")

    def _tasks(self, case: Case) -> Tasks:
        plan = plans.of_version(case.map_version, self.frame.staging_bucket)
        return Tasks(
            self.frame.book, Staging(self.frame.staging_bucket, self.frame.book.keys, case), case, plan
        )

    def _task(self, request: Request) -> tuple[Case | None, Task | None]:
        case = self.frame.case(request)
        if case is None or case.key_destroyed:
            return case, None
        try:
            return case, self._tasks(case).read(request.parameters["visit"])
        except NotFound:
            return case, None  # its key is destroyed

    def _closed(self, request: Request, agent: Agent, case: Case) -> Answer:
        return self.showing.show(request, agent, case, {"main": words.ERRORS["task"]}, 409)

    def _show(
        self, request: Request, agent: Agent, case: Case, task: Task | None, errors: dict[str, str],
        typed: dict[str, str], status: int,
    ) -> Answer:  # fmt: skip
        if task is None:
            return self._closed(request, agent, case)
        # As on the page of a case: the look is on record before anything personal is shown.
        Looks(self.frame.book).note(case.case_id, agent.sub, casebook.now())
        notice = "" if errors else words.DONE.get(request.query.get("done", ""), "")
        return self.frame.page_for(
            agent, request, "task", status,
            case=case, task=task, errors=errors, typed=typed, notice=notice, words=words,
            most=MOST_UPLOAD // 1024 // 1024, works_here=allowed(agent.roles, May.WORK),
        )  # fmt: skip
