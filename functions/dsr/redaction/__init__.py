"""What of a person's records is about somebody else, and must not go out with them (GDPR Art. 15(4)).

Three ways, by how sure one can be: what is certain (a field that the map never discloses, an address or a
phone number in free text that is not the subject's own) is replaced by rule; what only seems so (a name, a
record that several people share, a field under `review`) waits for a person; everything else goes out.
"""
