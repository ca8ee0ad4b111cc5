"""The fleet: what nodes say of themselves, kept, judged and shown."""
