CREATE TABLE datasets (
	id INTEGER NOT NULL, 
	name VARCHAR(63) NOT NULL, 
	disease VARCHAR(63) NOT NULL, 
	created VARCHAR(40) NOT NULL, 
	reports JSON NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (name)
);
CREATE TABLE models (
	id INTEGER NOT NULL, 
	name VARCHAR(63) NOT NULL, 
	version INTEGER NOT NULL, 
	disease VARCHAR(63) NOT NULL, 
	dataset VARCHAR(63) NOT NULL, 
	manifest VARCHAR(64) NOT NULL, 
	created VARCHAR(40) NOT NULL, 
	training JSON NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (name, version)
);
CREATE TABLE releases (
	name VARCHAR(80) NOT NULL, 
	disease VARCHAR(63) NOT NULL, 
	manifest VARCHAR(64) NOT NULL, 
	state VARCHAR(20) NOT NULL, 
	percent INTEGER NOT NULL, 
	groups JSON NOT NULL, 
	reason VARCHAR(500) NOT NULL, 
	notes VARCHAR(4000) NOT NULL, 
	gates JSON NOT NULL, 
	created VARCHAR(40) NOT NULL, 
	PRIMARY KEY (name)
);
CREATE TABLE invites (
	token_sha256 VARCHAR(64) NOT NULL, 
	expires VARCHAR(40) NOT NULL, 
	site VARCHAR(120) NOT NULL, 
	groups JSON NOT NULL, 
	used BOOLEAN NOT NULL, 
	PRIMARY KEY (token_sha256)
);
CREATE TABLE nodes (
	id VARCHAR(40) NOT NULL, 
	name VARCHAR(120) NOT NULL, 
	site VARCHAR(120) NOT NULL, 
	groups JSON NOT NULL, 
	revoked BOOLEAN NOT NULL, 
	certificate_sha256 VARCHAR(64) NOT NULL, 
	public_key VARCHAR(1000) NOT NULL, 
	enrolled VARCHAR(40) NOT NULL, 
	last_seen VARCHAR(40), 
	PRIMARY KEY (id)
);
CREATE TABLE tokens (
	id VARCHAR(16) NOT NULL, 
	owner VARCHAR(80) NOT NULL, 
	secret_sha256 VARCHAR(64) NOT NULL, 
	scopes JSON NOT NULL, 
	created VARCHAR(40) NOT NULL, 
	expires VARCHAR(40) NOT NULL, 
	revoked BOOLEAN NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE uploads (
	id VARCHAR(32) NOT NULL, 
	token VARCHAR(16) NOT NULL, 
	owner VARCHAR(80) NOT NULL, 
	declared_sha256 VARCHAR(64) NOT NULL, 
	kind VARCHAR(20) NOT NULL, 
	size BIGINT NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	part_bytes INTEGER NOT NULL, 
	options JSON NOT NULL, 
	created VARCHAR(40) NOT NULL, 
	touched VARCHAR(40) NOT NULL, 
	job VARCHAR(32), 
	PRIMARY KEY (id)
);
CREATE INDEX ix_uploads_declared_sha256 ON uploads (declared_sha256);
CREATE TABLE jobs (
	number INTEGER NOT NULL, 
	id VARCHAR(32) NOT NULL, 
	kind VARCHAR(20) NOT NULL, 
	subject VARCHAR(120) NOT NULL, 
	owner VARCHAR(80) NOT NULL, 
	scopes JSON NOT NULL, 
	upload VARCHAR(32), 
	options JSON NOT NULL, 
	state VARCHAR(20) NOT NULL, 
	cancel BOOLEAN NOT NULL, 
	attempts INTEGER NOT NULL, 
	part VARCHAR(40) NOT NULL, 
	done INTEGER NOT NULL, 
	total INTEGER NOT NULL, 
	result JSON, 
	error JSON, 
	created VARCHAR(40) NOT NULL, 
	started VARCHAR(40), 
	ended VARCHAR(40), 
	runner VARCHAR(32), 
	lease VARCHAR(40), 
	PRIMARY KEY (number), 
	UNIQUE (id)
);
CREATE INDEX ix_jobs_state ON jobs (state);
CREATE TABLE federations (
	id VARCHAR(16) NOT NULL, 
	number INTEGER NOT NULL, 
	model VARCHAR(80) NOT NULL, 
	state VARCHAR(20) NOT NULL, 
	options JSON NOT NULL, 
	document JSON NOT NULL, 
	created VARCHAR(40) NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (number)
);
CREATE TABLE samples (
	id INTEGER NOT NULL, 
	dataset INTEGER NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	label VARCHAR(120) NOT NULL, 
	"group" VARCHAR(200) NOT NULL, 
	file VARCHAR(1000) NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (dataset, sha256), 
	FOREIGN KEY(dataset) REFERENCES datasets (id) ON DELETE CASCADE
);
CREATE TABLE quarantine (
	dataset INTEGER NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	label VARCHAR(120) NOT NULL, 
	"group" VARCHAR(200) NOT NULL, 
	file VARCHAR(1000) NOT NULL, 
	doubt VARCHAR(40) NOT NULL, 
	created VARCHAR(40) NOT NULL, 
	facts JSON NOT NULL, 
	PRIMARY KEY (dataset, sha256), 
	FOREIGN KEY(dataset) REFERENCES datasets (id) ON DELETE CASCADE
);
CREATE TABLE labels (
	dataset INTEGER NOT NULL, 
	label VARCHAR(120) NOT NULL, 
	entry VARCHAR(63), 
	kind VARCHAR(20) NOT NULL, 
	how VARCHAR(40) NOT NULL, 
	PRIMARY KEY (dataset, label), 
	FOREIGN KEY(dataset) REFERENCES datasets (id) ON DELETE CASCADE
);
CREATE TABLE approvals (
	release VARCHAR(80) NOT NULL, 
	key_id VARCHAR(64) NOT NULL, 
	signature VARCHAR(200) NOT NULL, 
	created VARCHAR(40) NOT NULL, 
	PRIMARY KEY (release, key_id), 
	FOREIGN KEY(release) REFERENCES releases (name) ON DELETE CASCADE
);
CREATE TABLE heartbeats (
	node VARCHAR(40) NOT NULL, 
	number BIGINT NOT NULL, 
	received VARCHAR(40) NOT NULL, 
	document JSON NOT NULL, 
	PRIMARY KEY (node), 
	FOREIGN KEY(node) REFERENCES nodes (id)
);
CREATE TABLE results (
	number INTEGER NOT NULL, 
	node VARCHAR(40) NOT NULL, 
	id VARCHAR(32) NOT NULL, 
	received VARCHAR(40) NOT NULL, 
	disease VARCHAR(63) NOT NULL, 
	release VARCHAR(80) NOT NULL, 
	outcome VARCHAR(40) NOT NULL, 
	label VARCHAR(120) NOT NULL, 
	report JSON NOT NULL, 
	PRIMARY KEY (number), 
	UNIQUE (node, id), 
	FOREIGN KEY(node) REFERENCES nodes (id)
);
CREATE INDEX ix_results_disease ON results (disease);
CREATE INDEX ix_results_received ON results (received);
CREATE TABLE confirmations (
	number INTEGER NOT NULL, 
	node VARCHAR(40) NOT NULL, 
	id VARCHAR(32) NOT NULL, 
	received VARCHAR(40) NOT NULL, 
	result VARCHAR(32) NOT NULL, 
	revision INTEGER NOT NULL, 
	label VARCHAR(120) NOT NULL, 
	report JSON NOT NULL, 
	PRIMARY KEY (number), 
	UNIQUE (node, id), 
	FOREIGN KEY(node) REFERENCES nodes (id)
);
CREATE INDEX last_word ON confirmations (node, result, revision);
CREATE TABLE dataset_owners (
	name VARCHAR(63) NOT NULL, 
	owner VARCHAR(80) NOT NULL, 
	job VARCHAR(32) NOT NULL, 
	dataset INTEGER, 
	PRIMARY KEY (name), 
	FOREIGN KEY(dataset) REFERENCES datasets (id) ON DELETE CASCADE
);
CREATE TABLE upload_parts (
	upload VARCHAR(32) NOT NULL, 
	number INTEGER NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	PRIMARY KEY (upload, number), 
	FOREIGN KEY(upload) REFERENCES uploads (id) ON DELETE CASCADE
);
CREATE TABLE sample_facts (
	dataset INTEGER NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	perceptual VARCHAR(64) NOT NULL, 
	width INTEGER NOT NULL, 
	height INTEGER NOT NULL, 
	format VARCHAR(20) NOT NULL, 
	border JSON NOT NULL, 
	original VARCHAR(64) NOT NULL, 
	turn INTEGER NOT NULL, 
	PRIMARY KEY (dataset, sha256), 
	FOREIGN KEY(dataset, sha256) REFERENCES samples (dataset, sha256) ON DELETE CASCADE
);
