"""The life of a release: proposed, approved, rolled out, withdrawn; and the list of models that nodes see."""
