CREATE TABLE schema_version (
    version_num VARCHAR(32) NOT NULL, 
    CONSTRAINT schema_version_pkc PRIMARY KEY (version_num)
);

-- Running upgrade  -> 0001

CREATE TABLE groups (
    id BIGSERIAL NOT NULL, 
    name VARCHAR(200) NOT NULL, 
    rules JSONB NOT NULL, 
    created_at BIGINT NOT NULL, 
    CONSTRAINT pk_groups PRIMARY KEY (id), 
    CONSTRAINT uq_groups_name UNIQUE (name)
);

CREATE TABLE users (
    id BIGSERIAL NOT NULL, 
    name VARCHAR(200) NOT NULL, 
    email VARCHAR(320), 
    role VARCHAR(16) NOT NULL, 
    active BOOLEAN NOT NULL, 
    group_id BIGINT, 
    rules JSONB NOT NULL, 
    opening_balance BIGINT DEFAULT '0' NOT NULL, 
    origin VARCHAR(200) DEFAULT '' NOT NULL, 
    created_at BIGINT, 
    deleted_at BIGINT, 
    CONSTRAINT pk_users PRIMARY KEY (id), 
    CONSTRAINT fk_users_group_id FOREIGN KEY(group_id) REFERENCES groups (id) ON DELETE SET NULL, 
    CONSTRAINT uq_users_name UNIQUE (name)
);

CREATE TABLE keys (
    id BIGSERIAL NOT NULL, 
    user_id BIGINT NOT NULL, 
    name VARCHAR(200) NOT NULL, 
    hash VARCHAR(64) NOT NULL, 
    prefix VARCHAR(16) DEFAULT '' NOT NULL, 
    active BOOLEAN NOT NULL, 
    rules JSONB NOT NULL, 
    default_model VARCHAR(512), 
    expires_at BIGINT, 
    last_used_at BIGINT, 
    replaced_by BIGINT, 
    origin VARCHAR(200) DEFAULT '' NOT NULL, 
    created_at BIGINT NOT NULL, 
    CONSTRAINT pk_keys PRIMARY KEY (id), 
    CONSTRAINT fk_keys_replaced_by FOREIGN KEY(replaced_by) REFERENCES keys (id) ON DELETE SET NULL, 
    CONSTRAINT fk_keys_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE, 
    CONSTRAINT uq_keys_hash UNIQUE (hash)
);

CREATE INDEX ix_keys_user_id ON keys (user_id);

CREATE TABLE objects (
    kind VARCHAR(16) NOT NULL, 
    name VARCHAR(200) NOT NULL, 
    data JSONB NOT NULL, 
    secret TEXT, 
    updated_at BIGINT NOT NULL, 
    CONSTRAINT pk_objects PRIMARY KEY (kind, name)
);

CREATE TABLE facts (
    name VARCHAR(200) NOT NULL, 
    value TEXT NOT NULL, 
    CONSTRAINT pk_facts PRIMARY KEY (name)
);

CREATE TABLE audit (
    id BIGSERIAL NOT NULL, 
    at BIGINT NOT NULL, 
    actor VARCHAR(200) NOT NULL, 
    action VARCHAR(64) NOT NULL, 
    object VARCHAR(200) NOT NULL, 
    details JSONB NOT NULL, 
    CONSTRAINT pk_audit PRIMARY KEY (id)
);

CREATE INDEX ix_audit_at ON audit (at);

CREATE TABLE idempotency (
    actor VARCHAR(200) NOT NULL, 
    key VARCHAR(200) NOT NULL, 
    fingerprint VARCHAR(64) NOT NULL, 
    status INTEGER NOT NULL, 
    answer TEXT NOT NULL, 
    at BIGINT NOT NULL, 
    CONSTRAINT pk_idempotency PRIMARY KEY (actor, key)
);

CREATE TABLE intents (
    call_id VARCHAR(32) NOT NULL, 
    attempt INTEGER NOT NULL, 
    replica VARCHAR(64) NOT NULL, 
    at BIGINT NOT NULL, 
    facts JSONB NOT NULL, 
    output_so_far BIGINT DEFAULT '0' NOT NULL, 
    CONSTRAINT pk_intents PRIMARY KEY (call_id, attempt)
);

CREATE INDEX ix_intents_replica ON intents (replica);

CREATE TABLE entries (
    id BIGSERIAL NOT NULL, 
    call_id VARCHAR(32) NOT NULL, 
    attempt INTEGER NOT NULL, 
    kind VARCHAR(12) NOT NULL, 
    closes BOOLEAN NOT NULL, 
    at BIGINT NOT NULL, 
    request_id VARCHAR(128) NOT NULL, 
    user_id BIGINT, 
    key_id BIGINT, 
    group_id BIGINT, 
    route VARCHAR(200) NOT NULL, 
    provider VARCHAR(200) NOT NULL, 
    asked_model VARCHAR(512) NOT NULL, 
    model VARCHAR(512) NOT NULL, 
    surface VARCHAR(64) NOT NULL, 
    session VARCHAR(256) NOT NULL, 
    agent VARCHAR(256) NOT NULL, 
    parent_agent VARCHAR(256) NOT NULL, 
    prompt VARCHAR(256) NOT NULL, 
    status INTEGER NOT NULL, 
    outcome VARCHAR(12) NOT NULL, 
    failure VARCHAR(64) NOT NULL, 
    stream BOOLEAN NOT NULL, 
    input BIGINT, 
    cache_read BIGINT, 
    cache_write BIGINT, 
    output BIGINT, 
    reasoning BIGINT, 
    usage_source VARCHAR(10) NOT NULL, 
    partial BOOLEAN NOT NULL, 
    cost BIGINT, 
    price VARCHAR(64) NOT NULL, 
    stated_cost BIGINT, 
    milliseconds INTEGER, 
    first_byte_milliseconds INTEGER, 
    attempts INTEGER NOT NULL, 
    receipt JSONB NOT NULL, 
    details JSONB NOT NULL, 
    CONSTRAINT pk_entries PRIMARY KEY (id), 
    CONSTRAINT uq_entries_call_id_attempt_kind UNIQUE (call_id, attempt, kind)
);

CREATE INDEX ix_entries_at ON entries (at);

CREATE INDEX ix_entries_user_id_at ON entries (user_id, at);

CREATE INDEX ix_entries_key_id_at ON entries (key_id, at);

CREATE INDEX ix_entries_session_at ON entries (session, at) WHERE session <> '';

CREATE INDEX ix_entries_agent_at ON entries (agent, at) WHERE agent <> '';

CREATE INDEX ix_entries_parent_agent_at ON entries (parent_agent, at) WHERE parent_agent <> '';

CREATE INDEX ix_entries_prompt_at ON entries (prompt, at) WHERE prompt <> '';

CREATE INDEX ix_entries_request_id ON entries (request_id) WHERE request_id <> '';

CREATE TABLE usage_hour (
    bucket BIGINT NOT NULL, 
    user_id BIGINT NOT NULL, 
    key_id BIGINT NOT NULL, 
    group_id BIGINT NOT NULL, 
    route VARCHAR(200) NOT NULL, 
    provider VARCHAR(200) NOT NULL, 
    model VARCHAR(512) NOT NULL, 
    surface VARCHAR(64) NOT NULL, 
    calls BIGINT NOT NULL, 
    failed BIGINT NOT NULL, 
    attempts BIGINT NOT NULL, 
    input BIGINT NOT NULL, 
    cache_read BIGINT NOT NULL, 
    cache_write BIGINT NOT NULL, 
    output BIGINT NOT NULL, 
    reasoning BIGINT NOT NULL, 
    cost BIGINT NOT NULL, 
    unpriced BIGINT NOT NULL, 
    estimated BIGINT NOT NULL, 
    milliseconds BIGINT NOT NULL, 
    CONSTRAINT pk_usage_hour PRIMARY KEY (bucket, user_id, key_id, group_id, route, provider, model, surface)
);

CREATE TABLE usage_day (
    bucket BIGINT NOT NULL, 
    user_id BIGINT NOT NULL, 
    key_id BIGINT NOT NULL, 
    group_id BIGINT NOT NULL, 
    route VARCHAR(200) NOT NULL, 
    provider VARCHAR(200) NOT NULL, 
    model VARCHAR(512) NOT NULL, 
    surface VARCHAR(64) NOT NULL, 
    calls BIGINT NOT NULL, 
    failed BIGINT NOT NULL, 
    attempts BIGINT NOT NULL, 
    input BIGINT NOT NULL, 
    cache_read BIGINT NOT NULL, 
    cache_write BIGINT NOT NULL, 
    output BIGINT NOT NULL, 
    reasoning BIGINT NOT NULL, 
    cost BIGINT NOT NULL, 
    unpriced BIGINT NOT NULL, 
    estimated BIGINT NOT NULL, 
    milliseconds BIGINT NOT NULL, 
    CONSTRAINT pk_usage_day PRIMARY KEY (bucket, user_id, key_id, group_id, route, provider, model, surface)
);

CREATE TABLE budget_windows (
    scope VARCHAR(64) NOT NULL, 
    model VARCHAR(512) DEFAULT '' NOT NULL, 
    "window" VARCHAR(8) NOT NULL, 
    start BIGINT NOT NULL, 
    cost BIGINT NOT NULL, 
    tokens BIGINT NOT NULL, 
    CONSTRAINT pk_budget_windows PRIMARY KEY (scope, model, "window", start)
);

CREATE TABLE leases (
    replica VARCHAR(64) NOT NULL, 
    until BIGINT NOT NULL, 
    CONSTRAINT pk_leases PRIMARY KEY (replica)
);

CREATE TABLE quarantine (
    id BIGSERIAL NOT NULL, 
    at BIGINT NOT NULL, 
    row TEXT NOT NULL, 
    why TEXT NOT NULL, 
    CONSTRAINT pk_quarantine PRIMARY KEY (id)
);

CREATE TABLE sign_ins (
    mark VARCHAR(64) NOT NULL, 
    name VARCHAR(200) NOT NULL, 
    owner VARCHAR(200) NOT NULL, 
    role VARCHAR(8) NOT NULL, 
    until BIGINT NOT NULL, 
    CONSTRAINT pk_sign_ins PRIMARY KEY (mark)
);

INSERT INTO schema_version (version_num) VALUES ('0001') RETURNING schema_version.version_num;

