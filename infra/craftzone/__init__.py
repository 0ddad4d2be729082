"""CraftZone, the sample community: invented people, their records, and the stores that hold them."""
