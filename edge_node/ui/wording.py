"""What the app says about outcomes, scores, ages and failures: short, plain, and the same wherever it is said. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from edge_node.ui.texts import Texts, mark
from edge_node.ui.values import Finding, Freshness, Lines, Offer, Words
from protocols.errors import MedMeshError
from protocols.recognition import Outcome, Reason

_STEP = 1000
ASSUMED_BYTES_PER_S = 32_000  # a thin line; the screen says that it is a guess


@dataclass(frozen=True)
class Verdict:
    """The one thing to take away. ``symbol`` and ``tone`` differ by outcome; size and place never do."""

    symbol: str
    tone: str
    heading: str
    sentence: str


_REASONS: dict[Reason, str] = {
    "blurred": mark("The picture is blurred: hold still, focus, wipe the lens."),
    "underexposed": mark("The picture is too dark: add light."),
    "overexposed": mark("The picture is too bright: less light, no glare."),
    "another_kind": mark("It differs too much from the pictures that this model knows."),
    "unfamiliar": mark("It differs somewhat from the pictures that this model knows."),
    "several_labels_fit": mark("More than one answer fits."),
    "no_label_fits": mark("No answer fits well."),
}
_HINTS: dict[Reason, str] = {
    "blurred": mark("Blurred"),
    "underexposed": mark("Too dark"),
    "overexposed": mark("Too bright"),
}
URGENCY = {
    "emergency": mark("Emergency: act now"),
    "urgent": mark("Urgent: today"),
    "soon": mark("Soon: within days"),
    "routine": mark("Routine visit"),
    "none": mark("No urgency"),
}
REVIEW = {
    "draft": mark("Draft: not yet reviewed by a clinician"),
    "reviewed": mark("Reviewed by a clinician"),
    "retired": mark("Withdrawn: do not use"),
}
# What the commands advise is for a terminal; a person in front of the screen is told what to tap.
_REMEDIES = {
    "edge.not_enrolled": mark("Tap Device, then Join, and paste the invite from your coordinator."),
    "edge.not_installed": mark("Go back and download the model first."),
    "edge.nothing_installed": mark("Go back and download a model first."),
    "edge.replica_absent": mark("Tap Device, then Update now, when there is a network."),
    "edge.budget_used": mark(
        "Wait for the next month, raise the budget under Settings, or download all the same below."
    ),
    "edge.broken_off": mark("Tap Download again; what has arrived is kept."),
    "edge.cache_damaged": mark("Open the model's page and download it again; only what is missing is fetched."),
    "release.revoked": mark("Do not use this model any more. Tap Device, then Update now."),
    "image.crop_outside": mark("Tap Whole picture and mark the region again."),
    "edge.identity_damaged": mark("Ask for a new invite and join again; models on this device stay."),
    "file.not_found": mark("Choose another file."),
    **dict.fromkeys(
        ("worker.model_crashed", "worker.model_timed_out", "worker.model_memory", "worker.release_quarantined"),
        mark("Tap Device, then Update now, for a newer version; there you can also let this one run again."),
    ),
}


def verdict(finding: Finding, words: Texts) -> Verdict:
    """The outcome in plain words."""
    return _VERDICTS[finding.outcome](finding, words)


def _recognised(finding: Finding, words: Texts) -> Verdict:
    name = name_of(finding.top.name, words)
    if finding.top.kind == "normal":
        sentence = words.t("This does not rule out illness. If the patient is unwell, refer all the same.")
    else:
        sentence = words.t("The computer's suggestion, not a diagnosis. Check it against the patient.")
    return Verdict("≈", "recognised", words.t("Looks like: {name}", name=name), sentence)


def _unsure(finding: Finding, words: Texts) -> Verdict:
    return Verdict("?", "unsure", words.t("Not sure: refer"), words.t("The computer cannot decide. Refer the patient."))


def _foreign(finding: Finding, words: Texts) -> Verdict:
    return Verdict(
        "×",
        "foreign",
        words.t("Not this kind of image"),
        words.t("No answer for this picture. Is it the right disease and the right kind of picture?"),
    )


def _poor(finding: Finding, words: Texts) -> Verdict:
    return Verdict("!", "poor", words.t("Picture not good enough"), words.t("No answer. Take the picture again."))


_VERDICTS = {
    "recognised": _recognised,
    "unsure": _unsure,
    "not_this_kind_of_image": _foreign,
    "poor_quality": _poor,
}
OUTCOMES: dict[Outcome, str] = {
    "recognised": mark("Recognised"),
    "unsure": mark("Not sure: refer"),
    "not_this_kind_of_image": mark("Not this kind of image"),
    "poor_quality": mark("Picture not good enough"),
}


def reasons(finding: Finding, words: Texts) -> list[str]:
    """Why it is not a plain answer, one sentence each."""
    return [words.t(_REASONS[reason]) for reason in finding.reasons]


def stand_in(finding: Finding, words: Texts) -> str | None:
    """Which release answered instead of which; None where it is the one that was asked."""
    if finding.instead_of is None:
        return None
    return words.t(
        "{later} failed on this device and was set aside. The version before it, {used}, answered.",
        later=finding.instead_of,
        used=finding.release,
    )


def key_file(words: Texts) -> str:
    """The warning about a key beside what it opens."""
    return words.t(
        "The key to the results kept here lies in a file on this disk: whoever copies the disk can read them. "
        "Encrypt the disk."
    )


def answers(finding: Finding) -> bool:
    """Whether the scores mean anything: not for a picture that the model cannot judge."""
    return finding.outcome in ("recognised", "unsure")


def hints(faults: tuple[Reason, ...], words: Texts) -> str:
    """What is wrong with a picture before it is used; or that nothing is."""
    found = [words.t(_HINTS[fault]) for fault in faults if fault in _HINTS]
    return words.t(" · ").join(found) if found else words.t("Sharpness and light: good")


def set_sentence(finding: Finding, words: Texts) -> str:
    """The prediction set in words. A coverage of all is that of every label: a model that was never calibrated."""
    if finding.coverage >= 1:
        return words.t("Nothing can be ruled out: this model was never checked against pictures with known answers.")
    share = round(finding.coverage * 100)
    names = [name_of(score.name, words) for score in finding.prediction_set]
    if not names:
        return words.t("None of the answers fits as well as it does for {share} of 100 known pictures.", share=share)
    listed = words.t(", ").join(names)
    return words.t(
        "Cannot be ruled out: {names}. In {share} of 100 known pictures the right answer was in this list.",
        names=listed,
        share=share,
    )


def score_text(value: float, words: Texts) -> str:
    """A calibrated score: never 0 or 100, since nothing is certain."""
    return words.t("{score} of 100", score=min(max(round(value * 100), 1), 99))


def name_of(names: Words, words: Texts) -> str:
    """A name in the user's language, else in the other one."""
    return names.get(words.language) or names.get("en") or names.get("zh") or ""


def lines_of(lines: Lines, words: Texts) -> tuple[str, ...]:
    """Texts in the user's language, else in the other one."""
    return lines.get(words.language) or lines.get("en") or ()


def freshness(now: Freshness, words: Texts, *, member: bool) -> tuple[str, bool]:
    """How old the list is, and whether a person must be warned."""
    if now.node_revoked:
        return words.t("The coordinator has shut this device out: its models get no corrections any more."), True
    if now.clock_behind:
        return words.t("This device's clock is wrong. Set date and time."), True
    if not member:
        return words.t("Not joined to a coordinator yet"), True
    if now.days is None:
        return words.t("Never checked with the coordinator"), True
    if now.days == 0:
        return words.t("Checked with the coordinator today"), False
    text = words.n(
        "Last checked with the coordinator {count} day ago",
        "Last checked with the coordinator {count} days ago",
        now.days,
    )
    return text, now.is_stale


def offer_status(offer: Offer, words: Texts) -> tuple[str, bool]:
    """One line about a model, and whether it is a warning."""
    if offer.revoked is not None:
        return words.t("Withdrawn by its publisher: do not use"), True
    if offer.active_version is not None:
        text = words.t("Ready on this device")
        if offer.declined is not None:
            return text + words.t(" · ") + offer.declined.message(words.language), False
        return (text + words.t(" · ") + words.t("update available") if offer.has_update else text), False
    if offer.problem is not None:
        return offer.problem.message(words.language), True
    if offer.release is None:
        return words.t("Not offered to this device now"), False
    if offer.bytes_needed is None:
        return words.t("Not on this device"), False
    return words.t("To download: {size}", size=size_text(offer.bytes_needed)), False


def size_text(size_bytes: int) -> str:
    """A size for people: ``22.4 MB``."""
    value, unit = float(size_bytes), "B"
    for larger in ("kB", "MB", "GB"):
        if value < _STEP:
            break
        value, unit = value / _STEP, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def limit_text(figure: int, unit: str, words: Texts) -> str:
    """A limit for people; 0 is none."""
    return f"{figure:,} {unit}" if figure else words.t("No limit")


def duration(seconds: float, words: Texts) -> str:
    """A span of time for people."""
    if seconds < 60:
        return words.n("{count} second", "{count} seconds", max(round(seconds), 1))
    if seconds < 5400:
        return words.n("{count} minute", "{count} minutes", round(seconds / 60))
    return words.n("{count} hour", "{count} hours", round(seconds / 3600))


def failure(error: MedMeshError, words: Texts) -> tuple[str, str]:
    """What went wrong, and what to do about it here."""
    remedy = words.t(_REMEDIES[error.code]) if error.code in _REMEDIES else error.remedy(words.language)
    return error.message(words.language), remedy
