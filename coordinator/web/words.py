"""States and kinds that the store keeps as words, as a reader sees them."""

from __future__ import annotations

from typing import Final, Protocol

from coordinator.web.texts import Texts, mark


class Reader(Protocol):
    """Who looks at a page."""

    def may(self, right: str) -> bool:
        """Whether they may do this."""


WORDS: Final = {
    "proposed": mark("proposed"),
    "approved": mark("approved"),
    "released": mark("released"),
    "paused": mark("paused"),
    "rolled back": mark("rolled back"),
    "withdrawn": mark("withdrawn"),
    "queued": mark("queued"),
    "running": mark("running"),
    "stopping": mark("stopping"),
    "stopped": mark("stopped"),
    "done": mark("done"),
    "failed": mark("failed"),
    "cancelled": mark("cancelled"),
    "import": mark("import of images"),
    "model_import": mark("import of a model"),
    "train": mark("training"),
    "propose": mark("proposal"),
    "disease": mark("disease"),
    "normal": mark("normal finding"),
    "other": mark("other"),
    "image_quality": mark("image quality"),
    "draft": mark("draft"),
    "reviewed": mark("reviewed"),
    "retired": mark("retired"),
    "valid": mark("valid"),
    "expired": mark("expired"),
    "revoked": mark("revoked"),
    "current": mark("in touch"),
    "stale": mark("not heard of lately"),
    "never": mark("never heard of"),
    "verify": mark("checking the upload"),
    "images": mark("checking images"),
    "converting": mark("converting the model"),
    "checking": mark("checking the model"),
    "trying": mark("trying the model in a sandbox"),
    "views": mark("reading features of altered views"),
    "spatial": mark("training spatial heads"),
    "teacher": mark("fine-tuning the network for one fold"),
    "distilled": mark("training heads that the network teaches"),
    "ultrasound": mark("ultrasound, which often has text in the picture"),
    "secondary_capture": mark("a picture of a screen or a scan"),
    "burned_in": mark("the file says that text is burnt into the picture"),
    "face": mark("may show a face"),
    "backbone": mark("preparing the trunk"),
    "features": mark("reading features"),
    "selection": mark("choosing the head"),
    "head": mark("making the head"),
    "gates": mark("passing the gates"),
    "second conversion": mark("converting the trunk a second time"),
    "confirmed": mark("confirmed by a person"),
    "guessed by label": mark("guessed: such a label is known"),
    "guessed by code": mark("guessed by its code"),
    "guessed by name": mark("guessed by its name"),
    "guessed by synonym": mark("guessed by another name"),
    "guessed by part": mark("guessed by a part of its name"),
    "guessed by other_context": mark("guessed by a label of another disease"),
    "guessed by similar": mark("guessed by a similar name"),
    "no entry found": mark("no entry was found"),
    "recognised": mark("recognised"),
    "unsure": mark("unsure"),
    "not_this_kind_of_image": mark("not this kind of image"),
    "poor_quality": mark("poor quality"),
    "labels_mapped": mark("Every label has an entry"),
    "parity": mark("The small model answers like the exact one"),
    "vetted": mark("A model that was brought is the one that was vetted"),
    "calibrated": mark("Scores are calibrated"),
    "best_site": mark("At least as good as the best site alone"),
    "self_test": mark("Golden pictures give the recorded scores"),
    "converted_twice": mark("Converting twice gives the same bytes"),
    "viewer": mark("viewer"),
    "uploader": mark("uploader"),
    "release_manager": mark("release manager"),
    "admin": mark("administrator"),
    "active": mark("active"),
    "no_password": mark("has no password yet"),
    "removed": mark("removed"),
    "local": mark("at the machine"),
    "user": mark("person"),
    "token": mark("API token"),
    "node": mark("node"),
    "system": mark("the program"),
    "edited": mark("edited"),
    "missing": mark("missing"),
    "unchained": mark("does not follow from the row before"),
    "truncated": mark("cut off"),
    "rewritten": mark("not what a signed head says"),
    "no_head": mark("there is no signed head"),
    "fresh": mark("in touch"),
    "late": mark("late"),
    "lost": mark("lost"),
    "passed": mark("passed"),
    "refused": mark("refused"),
    "decline worse_here": mark("worse on this site's own images"),
    "decline self_test": mark("it does not pass the self-test there"),
    "decline failed": mark("it could not be run there"),
    "decline by_hand": mark("by hand"),
    "waiting": mark("heard, without it"),
    "declined": mark("declined"),
    "canary": mark("canary"),
    "failures": mark("crashes"),
    "non_regression": mark("Not worse than the release in use"),
    "notes": mark("It has release notes"),
    "card_complete": mark("The model card is complete"),
    "quick": mark("quick"),
    "standard": mark("standard"),
    "full": mark("full"),
    "emergency": mark("emergency"),
    "urgent": mark("urgent"),
    "soon": mark("soon"),
    "routine": mark("routine"),
    "none": mark("none"),
}


_TONES: Final = {
    "good": {"released", "done", "valid", "active", "reviewed", "current", "approved", "confirmed", "fresh"},
    "warn": {
        "proposed",
        "draft",
        "no_password",
        "stale",
        "never",
        "expired",
        "cancelled",
        "stopped",
        "urgent",
        "late",
        "silent",
    },
    "bad": {"paused", "lost", "declined", "refused", "withdrawn", "failed", "revoked", "emergency"},
    "busy": {"running", "stopping"},
}

# What a page says after something was done; the address carries the key alone.
DONE: Final = {
    "next": mark("The rollout is at its next stage."),
    "paused": mark("The release is paused: sites keep what they have."),
    "resumed": mark("The release goes on."),
    "rolled-back": mark("The release is rolled back: sites return to the one before."),
    "withdrawn": mark("The release is withdrawn: sites stop using it."),
    "rolled-out": mark("The release is offered."),
    "mapped": mark("The label is mapped."),
    "looked": mark("What you said about the images is recorded."),
    "queued": mark("The job is queued."),
    "cancelled": mark("The job will not go on."),
    "revoked": mark("It is revoked."),
    "reviewed": mark("The review is recorded."),
    "stopping": mark("The run stops after its round."),
    "started": mark("The run is queued."),
    "role": mark("The role is changed; the person is signed out everywhere."),
    "removed": mark("The person is let in no more."),
}

_MENU: Final = (
    ("/", mark("Overview"), "view"),
    ("/sites", mark("Sites"), "view"),
    ("/datasets", mark("Data sets"), "view"),
    ("/jobs", mark("Jobs"), "view"),
    ("/models", mark("Models"), "view"),
    ("/releases", mark("Releases"), "view"),
    ("/federation", mark("Federation"), "view"),
    ("/networks", mark("Other networks"), "view"),
    ("/knowledge", mark("Knowledge base"), "view"),
    ("/users", mark("Users"), "user:manage"),
    ("/tokens", mark("API tokens"), "token:manage"),
    ("/audit", mark("Audit trail"), "audit:read"),
)


def menu(view: Reader) -> list[tuple[str, str, str]]:
    """The pages that a reader may open: address, title, right."""
    return [row for row in _MENU if view.may(row[2])]


def tone_of(kind: str) -> str:
    """The colour of a state's badge; never the only sign of it."""
    return next((tone for tone, kinds in _TONES.items() if kind in kinds), "")


def word(texts: Texts, kind: str) -> str:
    """A word of the store for the reader; one that is not known as it is."""
    return texts.t(WORDS[kind]) if kind in WORDS else kind
