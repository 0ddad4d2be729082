"""Why a request is refused: the words that the desk chooses from, and what the requester reads."""

REFUSALS = {
    "not_verified": "We could not make sure that the data is yours.",
    "not_entitled": "We were not shown that you may act for the person whose data it is.",
    "unfounded": "The request is manifestly unfounded.",
    "excessive": "The request repeats earlier ones, and nothing has changed since.",
}
