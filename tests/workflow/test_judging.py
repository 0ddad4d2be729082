"""Cases that a person must decide: doubtful matches, children, those who act for others or cannot sign in."""

import pytest

from dsr.case import Attention, Proof, State
from dsr.language import Words
from dsr.redaction.review import Review
from dsr.staging import Staging
from infra.craftzone.personas import older_address_of
from tests.workflow.stage import Stage
from tests.workflow.story import Story, faults, joined

pytestmark = pytest.mark.cloud

ENTRIES, TICKETS, MESSAGES = "events.entries", "support.tickets", "support.messages"


def _doubted(stage: Stage, case_id: str) -> set[str]:
    """The collections whose doubtful records the case waits for somebody to decide on."""
    case = stage.reaches(case_id, State.NEEDS_ATTENTION)
    assert {point.reason for point in case.attention} == {"unverified_match"}
    return {point.about for point in case.attention}


def _judge_all(stage: Stage, case_id: str, verdict: str) -> set[str]:
    """Decide all doubts alike, as they come up: one may settle the next. Returns what was decided on."""
    judged: set[str] = set()
    while stage.settled(case_id).state is State.NEEDS_ATTENTION:
        collection = min(_doubted(stage, case_id))
        stage.command("case", "judge", case_id, collection, verdict)
        judged.add(collection)
    return judged


def test_what_somebody_wrote_about_another_is_looked_at_before_it_goes_out(stage: Stage) -> None:
    """The other's address goes by rule; the name beside it waits for a person, who sees it in its place."""
    story = Story(stage, "quoting").ask().prove()
    case = stage.reaches(story.case_id, State.NEEDS_ATTENTION)
    assert [(p.reason, p.about) for p in case.attention] == [("review", MESSAGES)]
    assert "A person is looking" in story.look().text
    review = Review(Staging(stage.outputs["StagingBucket"], stage.outputs["CaseKeysTable"], case))
    [group] = review.groups()
    [(finding, said)] = review.findings(group.name, 0)
    other = stage.community.person("quoted")
    body = finding.values["body"]
    assert ([body[start:end] for start, end in finding.spans], said) == ([other.name], "")
    stage.desk.review(case, group.name, 0, {finding.digest: "redact"})
    truth, notes = story.truth(), Words("en").section("removed")
    for message in truth["support", "messages"]:
        message["body"] = (
            message["body"].replace(other.email, notes["email"]).replace(other.name, notes["name"])
        )
    assert faults(truth, story.download()) == []


def test_a_further_address_counts_once_its_own_code_proved_it(stage: Stage) -> None:
    story = Story(stage, "older_address")
    older = older_address_of(story.person)
    story.ask(other_emails=older)
    story.confirm()
    assert story.case().contacts == (Proof.CONFIRMED, Proof.PENDING)
    assert story.case().state is State.AWAITING_IDENTITY  # nothing is looked up before both are settled
    story.look()
    story.confirm(1, older)
    assert story.case().contacts == (Proof.CONFIRMED, Proof.CONFIRMED)
    story.asked_to_sign_in()
    story.sign_in()
    # One entry under that address has nothing in common with the person but the address.
    assert _doubted(stage, story.case_id) == {ENTRIES}
    stage.desk.judge(story.case(), ENTRIES, include=False)
    assert faults(story.truth(also_proven=[older]), story.download()) == []


def test_a_further_address_that_is_skipped_finds_nothing(stage: Stage) -> None:
    story = Story(stage, "older_address")
    older = older_address_of(story.person)
    story.ask(other_emails=older)
    story.skip(1)
    assert story.case().contacts == (Proof.PENDING, Proof.SKIPPED)
    story.look()
    story.prove()
    assert faults(story.truth(), story.download()) == []
    assert joined(story.truth(also_proven=[older])) != joined(story.truth())


@pytest.mark.parametrize("who", ["mistyped_victim", "recycled_mailbox", "no_account"])
def test_a_strangers_records_are_left_out_once_somebody_said_so(stage: Stage, who: str) -> None:
    story = Story(stage, who).ask().prove()
    doubted = _doubted(stage, story.case_id)
    assert {".".join(collection) for collection in story.doubtful()} >= doubted
    assert "A person is looking" in story.look().text
    assert _judge_all(stage, story.case_id, "--exclude") == doubted
    assert faults(story.truth(), story.download()) == []
    assert story.case().decisions == dict.fromkeys(doubted, "exclude")


@pytest.mark.parametrize("who", ["mistyped_victim", "recycled_mailbox"])
def test_doubtful_records_come_with_all_that_hangs_on_them_once_somebody_said_so(
    stage: Stage, who: str
) -> None:
    story = Story(stage, who).ask().prove()
    doubted = _doubted(stage, story.case_id)
    assert _judge_all(stage, story.case_id, "--include") <= doubted
    assert faults(joined(story.truth(), story.doubtful()), story.download()) == []


def test_the_number_that_the_requester_typed_is_texted_a_code_and_settles_a_doubt(stage: Stage) -> None:
    # The author of a mistyped entry knows the phone number in it; the owner of the address does not.
    phone = stage.community.person("mistyped_author").phone
    story = Story(stage, "mistyped_victim").ask(phone=phone)
    story.code()
    assert stage.cloud.texts(phone) == []  # nobody proved a mailbox yet
    story.confirm()
    story.look()
    story.confirm(1, phone)
    assert story.case().contacts == (Proof.CONFIRMED, Proof.CONFIRMED)
    story.asked_to_sign_in()
    story.sign_in()
    assert faults(story.truth(typed={"phone": phone}), story.download()) == []


def test_a_child_waits_for_approval_and_is_then_answered(stage: Stage) -> None:
    story = Story(stage, "child").ask().prove()
    case = stage.reaches(story.case_id, State.AWAITING_APPROVAL)
    assert case.risk == ("minor",)
    assert "about a child" in story.look().text
    assert {v.outcome for v in stage.book.visits(story.case_id).values()} == {"done"}
    assert len(stage.book.visits(story.case_id)) == sum(v.resolves for v in stage.plan.visits)
    stage.command("case", "approve", story.case_id)
    assert faults(story.truth(), story.download()) == []


def test_a_refusal_is_mailed_with_its_reason(stage: Stage) -> None:
    story = Story(stage, "child").ask(for_whom="child").prove()
    stage.reaches(story.case_id, State.AWAITING_APPROVAL)
    stage.command("case", "refuse", story.case_id, "not_entitled")
    mail = story.mail("the answer to your request")
    assert "We were not shown that you may act for the person" in mail.text
    case = stage.settled(story.case_id)
    assert (case.state, case.outcome, case.notices) == (State.REFUSED, "not_entitled", ("refused",))
    assert "We were not shown that you may act for the person" in story.look().text
    assert stage.versions(stage.outputs["BundlesBucket"], f"bundles/{story.case_id}/") == []


def test_whoever_cannot_sign_in_is_answered_only_after_approval(stage: Stage) -> None:
    story = Story(stage, "household_a").ask()
    story.confirm()
    page = story.asked_to_sign_in()
    story.browser.submit(page, page.form(action="/no-sign-in"))
    case = stage.reaches(story.case_id, State.AWAITING_APPROVAL)
    assert case.risk == ("no_sign_in",)
    stage.settled(story.case_id)
    stage.desk.approve(case)
    assert faults(story.truth(), story.download()) == []


def test_another_members_sign_in_opens_nothing(stage: Stage) -> None:
    story = Story(stage, "household_a").ask()
    story.confirm()
    story.asked_to_sign_in()
    story.sign_in(as_="household_b")
    case = stage.reaches(story.case_id, State.NEEDS_ATTENTION)
    assert case.attention == (Attention("", "sign_in_mismatch"),)
    assert len(stage.book.visits(story.case_id)) == sum(v.resolves for v in stage.plan.visits)
    # Trying again changes nothing about who signed in.
    stage.desk.retry(stage.settled(story.case_id))
    case = stage.settled(story.case_id)
    assert case.attention == (Attention("", "sign_in_mismatch"),)
    # Asked for another sign-in, the same one opens no more than before.
    stage.command("case", "sign-in-again", story.case_id)
    story.asked_to_sign_in()
    story.sign_in(as_="household_b")
    case = stage.reaches(story.case_id, State.NEEDS_ATTENTION)
    stage.desk.refuse(stage.settled(case.case_id), "not_verified")
    assert "could not make sure that the data is yours" in story.mail("the answer to your request").text


def test_whoever_took_the_wrong_account_may_sign_in_again(stage: Stage) -> None:
    story = Story(stage, "household_b").ask()
    story.confirm()
    story.asked_to_sign_in()
    story.sign_in(as_="household_a")
    stage.reaches(story.case_id, State.NEEDS_ATTENTION)
    stage.desk.ask_sign_in_again(stage.settled(story.case_id))
    story.asked_to_sign_in()
    story.sign_in()
    assert faults(story.truth(), story.download()) == []


@pytest.mark.parametrize("who", ["look_alike", "case_trick"])
def test_an_address_that_only_looks_like_a_members_cannot_ask_in_their_place(stage: Stage, who: str) -> None:
    story = Story(stage, who)
    page = story.browser.get(f"{stage.url}/")
    form = page.form("submission", "email")
    answered = story.browser.submit(page, form, right="access", email=story.person.email)
    assert answered.status == 422
    assert "our mail cannot reach one with letters like" in answered.text
    # And the member's own answer is not theirs: see test_answers, where it must be the truth exactly.
    own = [record for records in story.truth().values() for record in records]
    assert own
    assert not any(
        record in records for record in own for records in stage.community.records_of("everything").values()
    )
