"""Invented words the sample people are made of. No real person, street or town is meant.

Phone numbers come only from ranges set aside for fiction: 555-0100 to 555-0199 of any North American area
code (NANPA), 07700 900000 to 900999 (Ofcom, UK) and 06 39 98 00 00 to 99 99 (ARCEP, France). IP addresses
come from the documentation blocks of RFC 5737 and RFC 3849. Mail addresses are under the domains reserved by
RFC 2606.
"""

from random import Random

DOMAINS = ("example.com", "example.org", "example.net")

GIVEN = (
    "Alvenna",
    "Bertwin",
    "Calisse",
    "Dorrick",
    "Elowyn",
    "Faustel",
    "Gwenora",
    "Hesper",
    "Ilvane",
    "Jorunda",
    "Kestrin",
    "Loriette",
    "Maribeth",
    "Norwenn",
    "Odalind",
    "Perrick",
    "Quillan",
    "Rosmund",
    "Severine",
    "Tamsel",
    "Ulvina",
    "Vesper",
    "Wrenna",
    "Xandrel",
    "Ysolde",
    "Zephira",
    "Andoril",
    "Brisela",
    "Corwenn",
    "Delphane",
)
FAMILY = (
    "Ashgrove",
    "Birchwell",
    "Copperfen",
    "Drakemoor",
    "Elderfield",
    "Fennimark",
    "Gallowhay",
    "Hollinwood",
    "Ironside-Vale",
    "Juniperson",
    "Kettlebrook",
    "Larkenfeld",
    "Mistlethorn",
    "Nightingrove",
    "Oakhurstle",
    "Pebblemarsh",
    "Quickwater",
    "Ravensholt",
    "Saltmeadow",
    "Thistlewick",
    "Underbough",
    "Vinterberge",
    "Wolfsgarten",
    "Yarrowdale",
    "Zweigenthal",
    "Müllerstein",
    "Lindqvistad",
    "Østergrave",
    "Fournelet",
    "Castañedo",
)
STREETS = (
    "Larkspur Mews",
    "Chandler Row",
    "Bobbin Lane",
    "Gravers Walk",
    "Quarrel Street",
    "Tinsmith Court",
    "Inkwell Rise",
    "Burin Terrace",
    "Etchers Yard",
    "Mandrel Avenue",
    "Spindle Close",
    "Vellum Gardens",
)
TOWNS = (
    "Harrowmere Falls",
    "Port Ellisande",
    "Nether Quillby",
    "Saint-Aubrac-le-Haut",
    "Grünwalden",
    "Lake Tamsin",
    "Upper Fennicot",
    "Villadorna",
    "Kestrelham",
    "Brightmoor Sands",
)
COUNTRIES = ("US", "US", "US", "GB", "FR", "DE", "CA", "BR", "KR", "CN")
AREA_CODES = ("206", "212", "303", "312", "404", "415", "512", "617", "702", "808", "907", "919")
EVENTS = (
    "Winter Engraving Days",
    "Lantern Challenge",
    "Wood & Light Fair",
    "Spring Maker Weekend",
    "Keepsake Contest",
    "Night of the Lasers",
    "Leather Week",
    "Slate Masters",
)
REWARDS = (
    "birch plywood pack",
    "honeycomb bed",
    "rotary attachment",
    "gift card",
    "air assist set",
    "slate coasters",
)
COURIER = "Swiftwing Parcel"
NEWSLETTERS = ("Monthly letter", "Offers for your machine")
SUBJECTS = (
    "fox",
    "heron",
    "compass",
    "mandala",
    "lighthouse",
    "clockwork owl",
    "fern",
    "city at night",
    "koi",
    "maple",
)
MATERIALS = ("walnut", "slate", "birch", "leather", "acrylic", "copper", "cork")
TOPICS = (
    "Laser does not home",
    "Reward has not arrived",
    "How do I change my nickname?",
    "Focus drifts on slate",
    "Cannot upload artwork",
    "Question about the contest rules",
    "Burn marks on birch",
    "Invoice for my order",
)
QUESTIONS = (
    "The head stops two centimetres short of the corner, what can I check?",
    "I followed the guide twice and it still fails at the last step.",
    "Could you tell me when the parcel left the warehouse?",
    "The upload ends at ninety percent, whatever file I choose.",
    "It worked until the last update of the firmware.",
    "Thank you, that solved it.",
    "Which power do you recommend for three millimetres of birch?",
    "I attach no photo because the form refused it.",
)
DEVICES = (
    {"model": "Pixel 9", "os": "Android 16"},
    {"model": "Galaxy S25", "os": "Android 16"},
    {"model": "iPhone 17", "os": "iOS 26"},
    {"model": "ThinkPad T14", "os": "Windows 11"},
    {"model": "MacBook Air", "os": "macOS 26"},
    {"model": "Redmi Note 14", "os": "Android 15"},
)
CARRIERS = ("Aurora Mobile", "Kitewave", "TelNova", "Meridian Cell")
SIGNALS = ("sign-in from a new country", "many failed sign-ins", "password spray", "unusual download rate")
ACTIONS = ("none", "none", "asked for a second factor", "blocked for 24 hours")
CONSENTS = (
    ("newsletter", "I would like to receive the CraftZone newsletter by mail. (v3)"),
    ("events", "I agree that my entry is shown on the page of the event. (v2)"),
    ("community", "I agree that my profile is shown to other members. (v4)"),
    ("rewards_courier", "I agree that my address is given to the courier of my reward. (v1)"),
)


def phone(rng: Random) -> str:
    """A phone number in E.164 from one of the ranges kept for fiction."""
    kind = rng.randrange(3)
    if kind == 0:
        return f"+1{rng.choice(AREA_CODES)}55501{rng.randrange(100):02d}"
    if kind == 1:
        return f"+447700900{rng.randrange(1000):03d}"
    return f"+3363998{rng.randrange(10_000):04d}"


def ip_address(rng: Random) -> str:
    """An address of a documentation block: IPv4 for a third, else IPv6 in its short form."""
    if rng.random() < 0.34:
        block = rng.choice(("192.0.2", "198.51.100", "203.0.113"))
        return f"{block}.{rng.randrange(1, 255)}"
    # No group is 0 or has a leading zero, so that the compressed form is this very text.
    groups = ":".join(f"{rng.randrange(0x1000, 0x10000):x}" for _ in range(6))
    return f"2001:db8:{groups}"


def mailing_address(rng: Random, country: str) -> list[str]:
    """Lines of an invented postal address, the street first, the country's code last."""
    return [
        f"{rng.randrange(1, 400)} {rng.choice(STREETS)}",
        f"{rng.choice(TOWNS)} {rng.randrange(10_000, 99_999)}",
        country,
    ]


PAGES = ("/", "/gallery", "/gallery/search", "/events", "/machines", "/forum", "/forum/new", "/me")
