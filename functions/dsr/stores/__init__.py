"""One module per kind of store, all with the same few verbs (`base.Store`)."""
