"""The coordinator's tables (SQLAlchemy Core; SQLite by default, any async URL otherwise)."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

datasets = Table(
    "datasets",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(63), unique=True, nullable=False),
    Column("disease", String(63), nullable=False),
    Column("created", String(40), nullable=False),
    Column("reports", JSON, nullable=False),  # one cleaning report an import
)

samples = Table(
    "samples",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("dataset", ForeignKey("datasets.id", ondelete="CASCADE"), nullable=False),
    Column("sha256", String(64), nullable=False),  # of the kept, re-encoded image
    Column("label", String(120), nullable=False),
    Column("group", String(200), nullable=False),
    Column("file", String(1000), nullable=False),
    UniqueConstraint("dataset", "sha256"),
)

# What an image's file was like before it was re-encoded; a model must not learn its class from these.
sample_facts = Table(
    "sample_facts",
    metadata,
    Column("dataset", Integer, primary_key=True),
    Column("sha256", String(64), primary_key=True),
    Column("perceptual", String(64), nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("format", String(20), nullable=False),
    Column("border", JSON, nullable=False),  # mean RGB of the outermost pixels
    Column("original", String(64), nullable=False, default=""),  # de-identified, where the uploader asked to keep it
    Column("turn", Integer, nullable=False, default=1),  # EXIF orientation of that original
    ForeignKeyConstraint(["dataset", "sha256"], ["samples.dataset", "samples.sha256"], ondelete="CASCADE"),
)

# Images that a person has to look at before they are part of a data set.
quarantine = Table(
    "quarantine",
    metadata,
    Column("dataset", ForeignKey("datasets.id", ondelete="CASCADE"), primary_key=True),
    Column("sha256", String(64), primary_key=True),
    Column("label", String(120), nullable=False),
    Column("group", String(200), nullable=False),
    Column("file", String(1000), nullable=False),
    Column("doubt", String(40), nullable=False),
    Column("created", String(40), nullable=False),
    Column("facts", JSON, nullable=False),  # the row of sample_facts that it will have
)

labels = Table(
    "labels",
    metadata,
    Column("dataset", ForeignKey("datasets.id", ondelete="CASCADE"), primary_key=True),
    Column("label", String(120), primary_key=True),
    Column("entry", String(63)),  # knowledge base id; null: not mapped
    Column("kind", String(20), nullable=False),
    Column("how", String(40), nullable=False),  # guessed … or confirmed by a person
)

models = Table(
    "models",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(63), nullable=False),
    Column("version", Integer, nullable=False),
    Column("disease", String(63), nullable=False),
    Column("dataset", String(63), nullable=False),
    Column("manifest", String(64), nullable=False),  # digest of the candidate's manifest
    Column("created", String(40), nullable=False),
    Column("training", JSON, nullable=False),  # what `train` printed
    UniqueConstraint("name", "version"),
)

releases = Table(
    "releases",
    metadata,
    Column("name", String(80), primary_key=True),  # model@version
    Column("disease", String(63), nullable=False),
    Column("manifest", String(64), nullable=False),  # digest of the manifest as released
    Column("state", String(20), nullable=False),  # proposed | approved | released | paused | rolled back | withdrawn
    Column("percent", Integer, nullable=False, default=0),
    Column("groups", JSON, nullable=False),
    Column("reason", String(500), nullable=False, default=""),  # why it was withdrawn
    Column("notes", String(4000), nullable=False, default=""),
    Column("gates", JSON, nullable=False),
    Column("created", String(40), nullable=False),
)

approvals = Table(
    "approvals",
    metadata,
    Column("release", ForeignKey("releases.name", ondelete="CASCADE"), primary_key=True),
    Column("key_id", String(64), primary_key=True),
    Column("signature", String(200), nullable=False),
    Column("created", String(40), nullable=False),
)

invites = Table(
    "invites",
    metadata,
    Column("token_sha256", String(64), primary_key=True),
    Column("expires", String(40), nullable=False),
    Column("site", String(120), nullable=False, default=""),
    Column("groups", JSON, nullable=False),
    Column("used", Boolean, nullable=False, default=False),
)

nodes = Table(
    "nodes",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("name", String(120), nullable=False),
    Column("site", String(120), nullable=False, default=""),
    Column("groups", JSON, nullable=False),
    Column("revoked", Boolean, nullable=False, default=False),
    Column("certificate_sha256", String(64), nullable=False),
    Column("public_key", String(1000), nullable=False),  # PEM, to check a request for renewal
    Column("enrolled", String(40), nullable=False),
    Column("last_seen", String(40)),
)

# What nodes report. The number is the order of arrival; a report is known by its node and the id that the node gave it.
results = Table(
    "results",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("node", ForeignKey("nodes.id"), nullable=False),
    Column("id", String(32), nullable=False),
    Column("received", String(40), nullable=False, index=True),
    Column("disease", String(63), nullable=False, index=True),
    Column("release", String(80), nullable=False),
    Column("outcome", String(40), nullable=False),
    Column("label", String(120), nullable=False),  # the likeliest one
    Column("report", JSON, nullable=False),
    UniqueConstraint("node", "id"),
)

confirmations = Table(
    "confirmations",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("node", ForeignKey("nodes.id"), nullable=False),
    Column("id", String(32), nullable=False),
    Column("received", String(40), nullable=False),
    Column("result", String(32), nullable=False),  # may arrive after its result was refused, hence no reference
    Column("revision", Integer, nullable=False),  # the highest one counts
    Column("label", String(120), nullable=False),
    Column("report", JSON, nullable=False),
    UniqueConstraint("node", "id"),
    Index("last_word", "node", "result", "revision"),
)

# API tokens; only the secret's hash is kept. Data sets belong to owners, so that a new token of the same owner goes on.
tokens = Table(
    "tokens",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("owner", String(80), nullable=False),
    Column("secret_sha256", String(64), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("created", String(40), nullable=False),
    Column("expires", String(40), nullable=False),
    Column("revoked", Boolean, nullable=False, default=False),
)

# Who made a data set over the network; one without a row is the keeper's own. A job claims the name before its import, and
# the row counts for others only when the data set that was made stands in it.
dataset_owners = Table(
    "dataset_owners",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("owner", String(80), nullable=False),
    Column("job", String(32), nullable=False),
    Column("dataset", ForeignKey("datasets.id", ondelete="CASCADE")),
)

uploads = Table(
    "uploads",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("token", String(16), nullable=False),
    Column("owner", String(80), nullable=False),
    Column("declared_sha256", String(64), nullable=False, index=True),  # of the whole declaration: finds it again
    Column("kind", String(20), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("part_bytes", Integer, nullable=False),
    Column("options", JSON, nullable=False),
    Column("created", String(40), nullable=False),
    Column("touched", String(40), nullable=False),
    Column("job", String(32)),  # set when complete; the row goes with the bytes when the job has ended
)

upload_parts = Table(
    "upload_parts",
    metadata,
    Column("upload", ForeignKey("uploads.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("sha256", String(64), nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("number", Integer, primary_key=True),  # the order in which they run
    Column("id", String(32), unique=True, nullable=False),
    Column("kind", String(20), nullable=False),  # import | model_import | train | propose
    Column("subject", String(120), nullable=False),  # what it writes to; one job a subject at a time
    Column("owner", String(80), nullable=False),  # empty: the keeper
    Column("asked_by", JSON),  # kind and name, for the audit trail; null: queued by an earlier version
    Column("scopes", JSON, nullable=False),  # what the asker was allowed when it was queued
    Column("upload", String(32)),
    Column("options", JSON, nullable=False),
    Column("state", String(20), nullable=False, index=True),  # queued | running | done | failed | cancelled
    Column("cancel", Boolean, nullable=False, default=False),  # asked for; the runner does it
    Column("attempts", Integer, nullable=False, default=0),
    Column("part", String(40), nullable=False, default=""),
    Column("done", Integer, nullable=False, default=0),
    Column("total", Integer, nullable=False, default=0),
    Column("curves", JSON),  # of a training, as ``coordinator.jobs.curves`` keeps them
    Column("result", JSON),
    Column("error", JSON),
    Column("created", String(40), nullable=False),
    Column("started", String(40)),
    Column("ended", String(40)),
    Column("runner", String(32)),
    Column("lease", String(40)),  # until when the runner has it; it renews while it lives
)

# Federated runs. The heads themselves lie in a checkpoint file beside the database.
federations = Table(
    "federations",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("number", Integer, nullable=False, unique=True),  # the order in which they were asked for
    Column("model", String(80), nullable=False),  # the version that is refined
    Column("state", String(20), nullable=False),  # queued | running | stopping | stopped | done | failed
    Column("options", JSON, nullable=False),
    Column("document", JSON, nullable=False),  # as ``federate status`` prints it
    Column("created", String(40), nullable=False),
)

# Audit: who did what. Rows are only ever added; each carries the hash of the one before (``protocols.audit``).
audit = Table(
    "audit",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", String(40), nullable=False, index=True),
    Column("actor_kind", String(10), nullable=False),
    Column("actor", String(120), nullable=False),
    Column("act", String(60), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("detail", Text, nullable=False),  # canonical JSON
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)

# People who sign in, and their sessions.
users = Table(
    "users",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(80), unique=True, nullable=False),
    Column("folded", String(160), unique=True, nullable=False),  # by which they are found: case and width do not count
    Column("role", String(20), nullable=False),
    Column("password", String(200)),  # argon2id; none: nobody can sign in with it yet
    Column("created", String(40), nullable=False),
    Column("disabled", Boolean, nullable=False, default=False),
    Column("epoch", Integer, nullable=False, default=0),  # sessions of an earlier one are over
)

sessions = Table(
    "sessions",
    metadata,
    Column("secret_sha256", String(64), primary_key=True),
    Column("user", ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("epoch", Integer, nullable=False),
    Column("created", String(40), nullable=False),
    Column("seen", String(40), nullable=False),
)

# Links with which a person chooses a password, once.
password_links = Table(
    "password_links",
    metadata,
    Column("user", ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),  # a new one ends the one before
    Column("secret_sha256", String(64), unique=True, nullable=False),
    Column("expires", String(40), nullable=False),
)

# --- staged rollouts ---------------------------------------------------------------------------------------------

# A rollout that goes on by itself. What is offered stands with the release; this is where it is in its plan.
staged_rollouts = Table(
    "staged_rollouts",
    metadata,
    Column("release", ForeignKey("releases.name", ondelete="CASCADE"), primary_key=True),
    Column("plan", JSON, nullable=False),  # stages, canary groups, policy
    Column("stage", Integer, nullable=False),  # index; as many as there are stages: done, nothing is watched any more
    Column("since", String(40), nullable=False),  # when this stage began
    Column("revision", Integer, nullable=False),  # rises with every change, so that no two writers undo each other
    Column("decision", JSON, nullable=False),  # the last one with its reasons
    Column("decided", String(40), nullable=False),
    Column("known", JSON, nullable=False),  # node -> what it had said when the rollout was paused, and since
    Column("accepted", JSON, nullable=False),  # node -> what a person knew who let it go on
)

# What a node had counted with the release before the one that is rolled out; nodes tell no more of what they have left.
rollout_baselines = Table(
    "rollout_baselines",
    metadata,
    Column("release", ForeignKey("staged_rollouts.release", ondelete="CASCADE"), primary_key=True),
    Column("node", String(40), primary_key=True),
    Column("counts", JSON, nullable=False),
)

# What only one process may do at a time, and which does.
leases = Table(
    "leases",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("holder", String(40), nullable=False),
    Column("until", String(40), nullable=False),
)

# --- fleet: how nodes say they stand (``protocols.heartbeat``). The newest of each node, and the last of each of its days.
heartbeats = Table(
    "fleet",
    metadata,
    Column("node", ForeignKey("nodes.id"), primary_key=True),
    Column("serial", BigInteger, nullable=False),  # rises with every heartbeat of the node
    Column("received", String(40), nullable=False),
    Column("seen", String(40), nullable=False),  # when the node certainly was alive; never later than it was received
    Column("via", String(10), nullable=False),  # line | peer | parcel
    Column("document", JSON, nullable=False),
)

heartbeat_days = Table(
    "fleet_days",
    metadata,
    Column("node", ForeignKey("nodes.id"), primary_key=True),
    Column("day", String(10), primary_key=True),  # UTC
    Column("serial", BigInteger, nullable=False),
    Column("releases", JSON, nullable=False),  # as in the document
    Index("fleet_days_by_day", "day"),
)

# Between networks: others whose releases may be taken over, and what they revoked of it.
upstreams = Table(
    "upstreams",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("url", String(500), nullable=False),
    Column("file", Text, nullable=False),  # what was handed over, as protocols.network writes it
    Column("added", String(40), nullable=False),
    Column("tried", String(40)),
    Column("failure", JSON),
    Column("record", JSON),  # what was last verified
)

upstream_revocations = Table(
    "upstream_revocations",
    metadata,
    Column("model", String(80), primary_key=True),  # model@version here
    Column("upstream", String(63), nullable=False),
    Column("reason", String(500), nullable=False),
    Column("act", String(20), nullable=False),  # paused | withdrawn | none
    Column("seen", String(40), nullable=False),
)
