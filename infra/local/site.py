"""The sample community's site, as far as it tells the product of accounts that people deleted there."""

import hashlib
import json
from collections.abc import Iterable

from dsr.case import new_case_id
from infra.craftzone.people import Community
from infra.local.cloud import Cloud

_AT_ONCE = 10  # entries of one PutEvents (Amazon EventBridge API Reference)


def tell_deleted(cloud: Cloud, community: Community, people: Iterable[str]) -> dict[str, str]:
    """Say on the bus that these members deleted their accounts. Returns the case of each, which opens
    in a moment. Raises RuntimeError if the bus takes an event not."""
    events, cases, asked = cloud.client("events"), dict[str, str](), list(people)
    for start in range(0, len(asked), _AT_ONCE):
        some = asked[start : start + _AT_ONCE]
        answer = events.put_events(Entries=[_entry(community, who) for who in some])
        if answer["FailedEntryCount"]:
            raise RuntimeError(f"the bus refused {answer['FailedEntryCount']} events")
        # A case is named by the event, so that one delivered twice is one case.
        for who, entry in zip(some, answer["Entries"], strict=True):
            seed = hashlib.sha256(f"site|{entry['EventId']}".encode())
            cases[who] = new_case_id(seed.digest()[:10])
    return cases


def _entry(community: Community, who: str) -> dict[str, str]:
    person = community.person(who)
    [member] = community.records_of(who)["members", "members"]
    locators = {
        "members.members.member_id": [member["member_id"]],
        "members.members.sign_in_sub": [member["sign_in_sub"]],
    }
    return {
        "EventBusName": "dsr-site",
        "Source": "craftzone.site",
        "DetailType": "account.deleted",
        "Detail": json.dumps({"country": person.country, "locators": locators}),
    }
