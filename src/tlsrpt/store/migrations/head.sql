CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE document (
	id INTEGER NOT NULL, 
	sha256 BLOB NOT NULL, 
	source TEXT NOT NULL, 
	form TEXT NOT NULL, 
	file_name TEXT, 
	received_at BIGINT NOT NULL, 
	header_from TEXT, 
	header_report_domain TEXT, 
	header_submitter TEXT, 
	header_message_id TEXT, 
	header_date TEXT, 
	size_bytes BIGINT NOT NULL, 
	packing TEXT NOT NULL, 
	raw BLOB, 
	PRIMARY KEY (id), 
	UNIQUE (sha256)
);
CREATE TABLE report (
	id INTEGER NOT NULL, 
	document_id INTEGER NOT NULL, 
	where_ TEXT NOT NULL, 
	identity BLOB NOT NULL, 
	content BLOB NOT NULL, 
	counted SMALLINT NOT NULL, 
	conflict_with INTEGER, 
	pruned SMALLINT DEFAULT 0 NOT NULL, 
	organization_name TEXT, 
	contact_info TEXT, 
	sender TEXT NOT NULL, 
	report_id TEXT, 
	start_datetime BIGINT NOT NULL, 
	end_datetime BIGINT NOT NULL, 
	day INTEGER NOT NULL, 
	received_at BIGINT NOT NULL, 
	successful BIGINT NOT NULL, 
	failed BIGINT NOT NULL, 
	findings INTEGER NOT NULL, 
	extras TEXT, 
	dkim TEXT, dkim_domain TEXT, foreign_ SMALLINT DEFAULT 0 NOT NULL, 
	PRIMARY KEY (id), 
	CONSTRAINT report_identity_content UNIQUE (identity, content), 
	FOREIGN KEY(document_id) REFERENCES document (id), 
	FOREIGN KEY(conflict_with) REFERENCES report (id)
);
CREATE INDEX report_document ON report (document_id);
CREATE INDEX report_day ON report (day);
CREATE TABLE policy (
	report_id INTEGER NOT NULL, 
	n INTEGER NOT NULL, 
	policy_type TEXT, 
	policy_domain TEXT NOT NULL, 
	report_domain TEXT NOT NULL, 
	policy_string TEXT, 
	mx_host TEXT, 
	successful BIGINT NOT NULL, 
	failed BIGINT NOT NULL, 
	failure_details INTEGER, 
	PRIMARY KEY (report_id, n), 
	FOREIGN KEY(report_id) REFERENCES report (id)
)
 WITHOUT ROWID

;
CREATE TABLE failure (
	report_domain TEXT NOT NULL, 
	day INTEGER NOT NULL, 
	report_id INTEGER NOT NULL, 
	n INTEGER NOT NULL, 
	m INTEGER NOT NULL, 
	policy_type TEXT, 
	policy_domain TEXT NOT NULL, 
	result_type TEXT, 
	failed_session_count BIGINT NOT NULL, 
	sending_mta_ip TEXT, 
	receiving_mx_hostname TEXT, 
	receiving_mx_helo TEXT, 
	receiving_ip TEXT, 
	additional_information TEXT, 
	failure_reason_code TEXT, 
	PRIMARY KEY (report_domain, day, report_id, n, m), 
	FOREIGN KEY(report_id) REFERENCES report (id)
)
 WITHOUT ROWID

;
CREATE TABLE finding (
	report_id INTEGER NOT NULL, 
	n INTEGER NOT NULL, 
	code TEXT NOT NULL, 
	severity TEXT NOT NULL, 
	where_ TEXT NOT NULL, 
	message TEXT NOT NULL, 
	consequence TEXT NOT NULL, 
	fix TEXT NOT NULL, 
	PRIMARY KEY (report_id, n), 
	FOREIGN KEY(report_id) REFERENCES report (id)
)
 WITHOUT ROWID

;
CREATE TABLE sighting (
	report_id INTEGER NOT NULL, 
	sha256 BLOB NOT NULL, 
	source TEXT NOT NULL, 
	file_name TEXT, 
	received_at BIGINT NOT NULL, 
	PRIMARY KEY (report_id, sha256), 
	FOREIGN KEY(report_id) REFERENCES report (id)
)
 WITHOUT ROWID

;
CREATE TABLE quarantine (
	id INTEGER NOT NULL, 
	document_id INTEGER NOT NULL, 
	where_ TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	source TEXT NOT NULL, 
	received_at BIGINT NOT NULL, 
	state TEXT NOT NULL, 
	PRIMARY KEY (id), 
	CONSTRAINT quarantine_place UNIQUE (document_id, where_), 
	FOREIGN KEY(document_id) REFERENCES document (id)
);
CREATE TABLE pruning (
	what TEXT NOT NULL, 
	"before" BIGINT NOT NULL, 
	PRIMARY KEY (what)
)
 WITHOUT ROWID

;
CREATE TABLE filed (
	domain TEXT NOT NULL, 
	day INTEGER NOT NULL, 
	report_id INTEGER NOT NULL, 
	PRIMARY KEY (domain, day, report_id), 
	FOREIGN KEY(report_id) REFERENCES report (id)
)
 WITHOUT ROWID

;
CREATE TABLE domain (
	report_domain TEXT NOT NULL, 
	PRIMARY KEY (report_domain)
)
 WITHOUT ROWID

;
CREATE TABLE failure_kind (
	id INTEGER NOT NULL, 
	policy_type TEXT NOT NULL, 
	policy_mode TEXT NOT NULL, 
	policy_domain TEXT NOT NULL, 
	result_type TEXT NOT NULL, 
	receiving_mx_hostname TEXT NOT NULL, 
	receiving_ip TEXT NOT NULL, 
	failure_reason_code TEXT NOT NULL, 
	PRIMARY KEY (id)
);
CREATE INDEX report_conflict ON report (conflict_with) WHERE counted = 0 AND foreign_ = 0;
CREATE INDEX report_foreign ON report (id) WHERE foreign_ = 1;
CREATE INDEX quarantine_waiting ON quarantine (document_id) WHERE state = 'waiting';
CREATE TABLE tally (
	domain TEXT NOT NULL, 
	day INTEGER NOT NULL, 
	sender TEXT NOT NULL, 
	policy_type TEXT NOT NULL, 
	report_domain TEXT NOT NULL, 
	proven SMALLINT NOT NULL, 
	reports BIGINT NOT NULL, 
	mentions BIGINT NOT NULL, 
	sent_successful BIGINT NOT NULL, 
	sent_failed BIGINT NOT NULL, 
	counted_total BIGINT NOT NULL, 
	counted_failed BIGINT NOT NULL, 
	not_itemised BIGINT NOT NULL, 
	PRIMARY KEY (domain, day, sender, policy_type, report_domain, proven)
)
 WITHOUT ROWID

;
CREATE TABLE failure_tally (
	domain TEXT NOT NULL, 
	day INTEGER NOT NULL, 
	sender TEXT NOT NULL, 
	kind_id INTEGER NOT NULL, 
	report_domain TEXT NOT NULL, 
	proven SMALLINT NOT NULL, 
	reports BIGINT NOT NULL, 
	sent_failed BIGINT NOT NULL, 
	counted_failed BIGINT NOT NULL, 
	PRIMARY KEY (domain, day, sender, kind_id, report_domain, proven), 
	FOREIGN KEY(kind_id) REFERENCES failure_kind (id)
)
 WITHOUT ROWID

;
CREATE TABLE place (
	"key" TEXT NOT NULL, 
	value TEXT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	PRIMARY KEY ("key")
)
 WITHOUT ROWID

;
CREATE TABLE source_state (
	name TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	state TEXT NOT NULL, 
	trouble TEXT NOT NULL, 
	since BIGINT NOT NULL, 
	last_success BIGINT, 
	waiting BIGINT, 
	outcomes TEXT NOT NULL, 
	turned_away BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	started_at BIGINT, 
	host TEXT NOT NULL, 
	pid BIGINT, 
	PRIMARY KEY (name)
)
 WITHOUT ROWID

;
CREATE TABLE incident (
	id TEXT NOT NULL, 
	place TEXT NOT NULL, 
	title TEXT NOT NULL, 
	first_day INTEGER NOT NULL, 
	last_day INTEGER NOT NULL, 
	mark TEXT NOT NULL, 
	mark_day INTEGER, 
	marked_at BIGINT, 
	note TEXT NOT NULL, 
	PRIMARY KEY (id)
)
 WITHOUT ROWID

;
CREATE TABLE incident_key (
	"key" TEXT NOT NULL, 
	incident_id TEXT NOT NULL, 
	PRIMARY KEY ("key"), 
	FOREIGN KEY(incident_id) REFERENCES incident (id)
)
 WITHOUT ROWID

;
CREATE INDEX incident_key_incident ON incident_key (incident_id);
CREATE TABLE told (
	"key" TEXT NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY ("key")
)
 WITHOUT ROWID

;
CREATE TABLE notice (
	id INTEGER NOT NULL, 
	token TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	event TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	severity TEXT NOT NULL, 
	made_at BIGINT NOT NULL, 
	subject TEXT NOT NULL, 
	goes_on_from TEXT NOT NULL, 
	text_ TEXT NOT NULL, 
	html TEXT NOT NULL, 
	data TEXT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (token)
);
CREATE INDEX notice_key ON notice ("key");
CREATE TABLE delivery (
	notice_id INTEGER NOT NULL, 
	recipient TEXT NOT NULL, 
	address TEXT NOT NULL, 
	state TEXT NOT NULL, 
	tries INTEGER NOT NULL, 
	lapsed INTEGER NOT NULL, 
	due_at BIGINT NOT NULL, 
	claimed_until BIGINT, 
	settled_at BIGINT, 
	trouble TEXT NOT NULL, 
	PRIMARY KEY (notice_id, recipient, address), 
	FOREIGN KEY(notice_id) REFERENCES notice (id)
)
 WITHOUT ROWID

;
CREATE INDEX delivery_waiting ON delivery (due_at) WHERE state = 'waiting';
