"""The training ladder: kinds of head from cheap to dear, each kept only where unseen groups show that it is better."""
