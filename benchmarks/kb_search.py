"""Knowledge base search against ranked LIKE on 20,000 entries: speed, recall, code lookup, replica size and change.

The entries are the packaged seed, the Disease Ontology (``$MEDMESH_DATA/disease_ontology``, else ``../shared/data``
beside the checkout) and synthetic bilingual ones. LIKE gets a plain table of its own in the same engine and returns ids
only; ours also returns names, codes and highlights. Exits 1 if a target is missed. Claims are ratios of one run.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import aiosqlite
from figures import figure

from disease_kb import KnowledgeBase, replica
from disease_kb.changes import by_id
from disease_kb.importers import read_source
from disease_kb.model import Code, Entry, Text
from disease_kb.seeding import seed_entries

ENTRIES = 20_000
REPEATS = 7
LIMIT = 20

# What a clinician might type, and the entry meant (a seed id, or a DOID). Half are Chinese names of two characters.
QUERIES = (
    ("疟疾", "malaria"),
    ("肺炎", "pneumonia"),
    ("疥疮", "scabies"),
    ("沙眼", "trachoma"),
    ("麻风", "leprosy"),
    ("湿疹", "eczema"),
    ("气胸", "pneumothorax"),
    ("雅司", "yaws"),
    ("胸水", "pleural-effusion"),
    ("打摆子", "malaria"),
    ("肺结核", "tuberculosis"),
    ("白癜风", "vitiligo"),
    ("牛皮癣", "psoriasis"),
    ("青光眼", "glaucoma"),
    ("白血病", "leukaemia"),
    ("带状疱疹", "herpes-zoster"),
    ("蜂窝织炎", "cellulitis"),
    ("黑色素瘤", "melanoma"),
    ("丝虫", "lymphatic-filariasis"),
    ("足菌肿", "mycetoma"),
    ("乳腺癌", "breast-cancer"),
    ("黄斑变性", "age-related-macular-degeneration"),
    ("angiosarcoma", "DOID:0001816"),
    ("hemangiosarcoma", "DOID:0001816"),
    ("Buruli ulcer", "buruli-ulcer"),
    ("onchocerciasis", "onchocerciasis"),
    ("shingles", "herpes-zoster"),
    ("ringworm", "tinea"),
    ("naevus", "melanocytic-nevus"),
    ("Tay-Sachs", "DOID:3320"),
    ("Lyme disease", "DOID:11729"),
    ("leptospirosis", "DOID:2297"),
    ("neuroblastoma", "DOID:769"),
    ("ATLL", "DOID:0050523"),
    ("juvenile myelomonocytic leukemia", "DOID:0050458"),
    ("B54", "malaria"),
    ("C93.3", "DOID:0050458"),
    ("J93.9", "pneumothorax"),
    ("DOID:0001816", "DOID:0001816"),
    ("L80", "vitiligo"),
)
# The same with a slip of the keyboard or input method; LIKE cannot find these.
MISSPELT = (
    ("虐疾", "malaria"),
    ("带状泡疹", "herpes-zoster"),
    ("白颠风", "vitiligo"),
    ("melenoma", "melanoma"),
    ("psoraisis", "psoriasis"),
    ("onchocerchiasis", "onchocerciasis"),
    ("leptospirois", "DOID:2297"),
    ("neuroblastma", "DOID:769"),
)
_SITES = (
    ("肝", "hepatic"), ("肾", "renal"), ("脾", "splenic"), ("胃", "gastric"), ("结肠", "colonic"),
    ("胰腺", "pancreatic"), ("膀胱", "vesical"), ("甲状腺", "thyroid"), ("前列腺", "prostatic"), ("颈椎", "cervical"),
    ("膝关节", "knee"), ("鼻窦", "sinus"), ("喉", "laryngeal"), ("心肌", "myocardial"), ("主动脉", "aortic"),
)  # fmt: skip
_FORMS = (
    ("囊肿", "cyst"), ("硬化", "sclerosis"), ("梗死", "infarction"), ("息肉", "polyp"), ("脓肿", "abscess"),
    ("结石", "calculus"), ("狭窄", "stenosis"), ("萎缩", "atrophy"), ("出血", "haemorrhage"), ("增生", "hyperplasia"),
)  # fmt: skip
_SIGNS = (
    ("反复疼痛伴低热", "recurrent pain with a low fever"), ("体重下降", "weight loss"), ("局部肿胀", "local swelling"),
    ("乏力与食欲减退", "tiredness and loss of appetite"), ("活动后气短", "breathlessness on exertion"),
    ("夜间盗汗", "night sweats"), ("皮肤苍白", "pallor"), ("头晕", "dizziness"), ("恶心呕吐", "nausea and vomiting"),
)  # fmt: skip


def main() -> int:
    """Run everything and return the exit code."""
    folder = Path(os.environ.get("MEDMESH_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    if not (folder / "disease_ontology").is_dir():
        print(f"The Disease Ontology is not in {folder}: set MEDMESH_DATA.", file=sys.stderr)
        return 3
    with tempfile.TemporaryDirectory() as scratch:
        return asyncio.run(_measure(entries_of(folder / "disease_ontology"), Path(scratch)))


def entries_of(ontology: Path) -> list[Entry]:
    """Return 20,000 entries: the seed, the Disease Ontology, and synthetic ones to fill up."""
    found = {entry.id: entry for entry in seed_entries()}
    for slim in sorted(ontology.glob("*.obo")):
        found |= by_id(read_source(slim).entries)
    chance = random.Random(4)
    while len(found) < ENTRIES:
        number = len(found)
        (zh_site, en_site), (zh_form, en_form) = chance.choice(_SITES), chance.choice(_FORMS)
        name = Text("name", f"{zh_site}{zh_form}{number}型", f"{en_site} {en_form} type {number}")
        signs = [Text("symptom", zh, en) for zh, en in chance.sample(_SIGNS, 4)]
        about = Text(
            "definition",
            f"发生于{zh_site}的{zh_form}，第{number}种。",
            f"A {en_form} of {en_site} tissue, kind {number}.",
        )
        found[f"synthetic-{number}"] = Entry(
            id=f"synthetic-{number}",
            kind="disease",
            version=1,
            updated=date(2026, 1, 1),
            licence="CC0-1.0",
            provenance="synthetic",
            codes=(Code("ICD-11", f"XX{number}", "exact"),),
            texts=(name, about, *signs),
        )
    return list(found.values())


async def _measure(entries: list[Entry], scratch: Path) -> int:
    rows: list[tuple[str, str, str, bool]] = []
    async with (
        aiosqlite.connect(scratch / "like.sqlite") as plain,
        await KnowledgeBase.open(scratch / "kb.sqlite") as kb,
    ):
        baseline = RankedLike(plain)
        await baseline.fill(entries)
        started = time.perf_counter()
        await kb.replace_all(entries)
        rows.append(("build of the index", f"{time.perf_counter() - started:.1f} s", "-", True))

        async def ours(text: str) -> list[str]:
            return [hit.id for hit in await kb.search(text, LIMIT)]

        mine, theirs = await _timed(ours, QUERIES), await _timed(baseline.search, QUERIES)
        ratios = [b / a for a, b in zip(mine.ms, theirs.ms, strict=True)]
        ratio, p50 = statistics.median(ratios), statistics.median(mine.ms)
        rows += [
            ("times faster than ranked LIKE, median", f"{ratio:.0f}", "≥ 20", ratio >= 20),
            ("times faster, all 40 together", f"{sum(theirs.ms) / sum(mine.ms):.0f}", "-", True),
            ("p50 of a search", f"{p50:.2f} ms", "≤ 3 ms", p50 <= 3),
            ("slowest of the 40", f"{max(mine.ms):.2f} ms", "-", True),
            ("found in the first 20, LIKE", f"{theirs.found}/{len(QUERIES)}", "-", True),
            ("found in the first 20, ours", f"{mine.found}/{len(QUERIES)}", "≥ LIKE", mine.found >= theirs.found),
            ("found first, ours", f"{mine.first}/{len(QUERIES)}", "-", True),
        ]
        wrong = await _timed(ours, MISSPELT)
        rows.append(("misspelt, found in the first 20", f"{wrong.found}/{len(MISSPELT)}", "-", True))
        rows.append(("misspelt, p50", f"{statistics.median(wrong.ms):.1f} ms", "-", True))

        async def code(text: str) -> list[str]:
            return [entry.id for entry in await kb.by_code(text)]

        codes = [(code.code, entry.id) for entry in random.Random(7).sample(entries, 300) for code in entry.codes[:1]]
        looked = await _timed(code, codes)
        rows.append(
            (
                "lookup by code, p50",
                f"{statistics.median(looked.ms):.2f} ms",
                "≤ 0.5 ms",
                statistics.median(looked.ms) <= 0.5,
            )
        )
    rows += _replica_rows()
    for missed in mine.missed + wrong.missed + looked.missed:
        print(f"not found: {missed}")
    for label, value, target, ok in rows:
        figure(label, value, "—", None, target, ok)
    return 0 if all(ok for *_, ok in rows) else 1


class Timed:
    """Median time of each query in ms, and how many found what was meant."""

    def __init__(self) -> None:
        self.ms: list[float] = []
        self.found = 0
        self.first = 0
        self.missed: list[str] = []


async def _timed(search: Callable[[str], Awaitable[list[str]]], queries: Sequence[tuple[str, str]]) -> Timed:
    result = Timed()
    for text, meant in queries:
        times = []
        for _ in range(REPEATS):
            re.purge()  # a new query has no compiled pattern waiting
            started = time.perf_counter()
            names = await search(text)
            times.append((time.perf_counter() - started) * 1000)
        result.ms.append(statistics.median(times))
        wanted = meant.lower().replace(":", "-")
        result.found += wanted in names
        result.first += names[:1] == [wanted]
        if wanted not in names:
            result.missed.append(text)
    return result


def _replica_rows() -> list[tuple[str, str, str, bool]]:
    seed = seed_entries()
    whole = replica.build(seed)
    costs: list[int] = []
    for index, entry in enumerate(seed):
        for place in range(0, len(entry.texts), 5):
            text = entry.texts[place]
            texts = list(entry.texts)
            texts[place] = replace(text, zh=f"{text.zh}请随访。", en=f"{text.en} Follow up.")
            edited = replace(entry, texts=tuple(texts), version=entry.version + 1, updated=entry.updated + timedelta(9))
            change = replica.patch(whole, replica.build([*seed[:index], edited, *seed[index + 1 :]]))
            costs.append(len(change))
    return [
        (
            f"replica of the seed ({len(seed)} entries)",
            f"{len(whole) / 1000:.0f} kB",
            "≤ 300 kB",
            len(whole) <= 300_000,
        ),
        ("one edited text on the wire, largest", f"{max(costs) / 1000:.1f} kB", "≤ 5 kB", max(costs) <= 5000),
        ("one edited text on the wire, mean", f"{statistics.mean(costs) / 1000:.1f} kB", "-", True),
    ]


class RankedLike:
    """The ordinary way: substring match on every column, ordered by where it matched."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def fill(self, entries: list[Entry]) -> None:
        """Write the table."""
        await self._connection.execute("CREATE TABLE doc (id TEXT, name TEXT, synonym TEXT, code TEXT, body TEXT)")
        rows = [self._row(entry) for entry in entries]
        await self._connection.executemany("INSERT INTO doc VALUES (?, ?, ?, ?, ?)", rows)
        await self._connection.commit()

    async def search(self, text: str) -> list[str]:
        """Return the ids of the first 20 matches."""
        rows = await self._connection.execute_fetchall(
            "SELECT id FROM doc WHERE name LIKE ?1 OR synonym LIKE ?1 OR code LIKE ?1 OR body LIKE ?1 ORDER BY "
            "CASE WHEN code LIKE ?1 THEN 0 WHEN name LIKE ?1 THEN 1 WHEN synonym LIKE ?1 THEN 2 ELSE 3 END, "
            "length(name) LIMIT ?2",
            (f"%{text}%", LIMIT),
        )
        return [row[0] for row in rows]

    @staticmethod
    def _row(entry: Entry) -> tuple[str, ...]:
        columns: dict[str, list[str]] = {"name": [], "synonym": [], "body": []}
        for text in entry.texts:
            columns[text.field if text.field in columns else "body"] += [text.zh, text.en]
        codes = " ".join(code.code for code in entry.codes)
        return entry.id, "\n".join(columns["name"]), "\n".join(columns["synonym"]), codes, "\n".join(columns["body"])


if __name__ == "__main__":
    sys.exit(main())
