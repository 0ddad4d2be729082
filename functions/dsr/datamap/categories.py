"""The data categories that a map may name: those of the Fides taxonomy, from a list that ships."""

from importlib import resources

# What names a person by itself, or as good as: each with all that is below it in the taxonomy.
_IDENTIFYING = (
    *("user.name", "user.contact", "user.unique_id", "user.government_id", "user.account.username"),
    *("user.financial.bank_account", "user.financial.credit_card", "user.payment", "user.biometric"),
    *("user.authorization", "user.device.ip_address", "user.device.device_id", "user.device.cookie_id"),
    *("user.location.precise", "user.content.self_image", "user.health_and_medical.record_id"),
    *("user.health_and_medical.genetic", "user.health_and_medical.insurance_beneficiary_id"),
)
_TELLING_LITTLE = (
    *("user.contact.address.country", "user.contact.address.state", "user.contact.organization"),
)


def _listed() -> dict[str, str]:
    text = resources.files("dsr.datamap").joinpath("data_categories.tsv").read_text(encoding="utf-8")
    rows = (line.split("\t") for line in text.splitlines() if line and not line.startswith("#"))
    return dict(rows)


CATEGORIES: dict[str, str] = _listed()  # key → name


def identifies(category: str) -> bool:
    """Whether a value of that category leads to one person, though all else were masked."""
    return _is_within(category, _IDENTIFYING) and not _is_within(category, _TELLING_LITTLE)


def _is_within(category: str, roots: tuple[str, ...]) -> bool:
    return any(category == root or category.startswith(root + ".") for root in roots)
